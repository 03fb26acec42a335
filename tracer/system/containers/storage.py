"""Podman's and CRI-O's containers, which both keep in containers/storage.

containers.json has ids, names and images; a running container has its first process's number in a
file of the run root. Rootless podman has both below the user's home and run-time directory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tracer.containers import Container
from tracer.system.containers.files import Files, changed_at, field, number, read, word
from tracer.system.containers.found import Found
from tracer.system.containers.kubernetes import pod_of
from tracer.system.containers.users import Home

_ID = re.compile("[0-9a-f]{64}")

# Storage drivers, each with a directory of its own: rootless podman has vfs where it can neither
# mount overlay nor run fuse-overlayfs.
_DRIVERS = ("overlay", "vfs", "btrfs", "zfs")

# The second is of containers that go when they end (`podman run --rm`), since podman 4.4.
_LISTS = ("containers.json", "volatile-containers.json")


@dataclass(frozen=True)
class _Store:
    """Where one user's containers are with one driver, and where of the running ones."""

    graph: str
    runs: tuple[str, ...]
    uid: int | None = None


class Storage:
    """Root's store and that of every user."""

    name = "podman"

    def __init__(self, files: Files, homes: tuple[Home, ...], root: str = "") -> None:
        self._files = files
        self._stores = _stores(f"{root}/var/lib", (f"{root}/run/containers/storage",))
        for home in homes:
            runs = (
                f"{root}/run/user/{home.uid}/containers",
                f"{root}/tmp/storage-run-{home.uid}/containers",
                f"{root}/tmp/containers-user-{home.uid}/containers",
            )
            self._stores += _stores(f"{home.path}/.local/share", runs, home.uid)

    @property
    def places(self) -> tuple[str, ...]:
        """The directories looked at."""
        return tuple(store.graph for store in self._stores)

    def all(self) -> Iterator[Found]:
        """Every container that there is, running or not."""
        for store in self._stores:
            for entry in self._entries(store):
                if found := self._read(store, entry):
                    yield found

    def find(self, identity: str, scope: str = "") -> Found | None:
        """The container with an id."""
        for store in self._stores if _ID.fullmatch(identity) else ():
            for entry in self._entries(store):
                if field(entry, "id") == identity:
                    return self._read(store, entry)
        return None

    def _entries(self, store: _Store) -> Iterator[Any]:
        for name in _LISTS:
            entries = self._files.json(f"{store.graph}/{name}")
            yield from entries if isinstance(entries, list) else ()

    def _read(self, store: _Store, entry: Any) -> Found | None:
        identity = field(entry, "id")
        if not isinstance(identity, str) or not _ID.fullmatch(identity):
            return None
        container = self._container(store, entry, identity)
        driver = store.graph.rpartition("/")[2]
        for run in store.runs:
            path = f"{run}/{driver}/{identity}/userdata/pidfile"
            written, pid = changed_at(path), read(path, 32).strip()
            if written is not None and pid.isdigit():
                return Found(container, number(int(pid)), "running", written)
        return Found(container, 0, "not running", 0.0)

    def _annotations(self, store: _Store, identity: str) -> Any:
        """Of the runtime's configuration, which is kept with the container or with what runs."""
        driver = store.graph.rpartition("/")[2]
        for place in (store.graph, *(f"{run}/{driver}" for run in store.runs)):
            config = self._files.json(f"{place}/{identity}/userdata/config.json")
            if config is not None:
                return field(config, "annotations")
        return None

    def _container(self, store: _Store, entry: Any, identity: str) -> Container:
        keys = self._annotations(store, identity)
        # Podman's have some of CRI-O's annotations, too.
        by_crio = field(keys, "io.container.manager") == "cri-o"
        pod = pod_of(keys) if by_crio else None
        about, names = _object(field(entry, "metadata")), field(entry, "names")
        given = word(names[0]) if isinstance(names, list) and names else None
        return Container(
            engine="cri-o" if by_crio else self.name,
            id=identity,
            name=pod.container if pod else given,
            image=word(field(about, "image-name")) or (pod.image if pod else None),
            pod=pod.name if pod else None,
            sandbox=pod.sandbox if pod else False,
            uid=store.uid,
        )


def _stores(above: str, runs: tuple[str, ...], uid: int | None = None) -> list[_Store]:
    graph = f"{above}/containers/storage"
    return [_Store(f"{graph}/{driver}-containers", runs, uid) for driver in _DRIVERS]


def _object(text: Any) -> Any:
    """JSON within JSON."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
