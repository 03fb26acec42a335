"""All engines' containers, and the one that a process is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tracer.containers import Container
from tracer.system.containers import cgroups, monitors
from tracer.system.containers.containerd import Containerd
from tracer.system.containers.docker import Docker
from tracer.system.containers.files import Files, read
from tracer.system.containers.found import Found
from tracer.system.containers.storage import Storage
from tracer.system.containers.users import homes
from tracer.system.initial import machine_root

_CGROUPS = 1 << 20
"""Bytes of a /proc/PID/cgroup that are read."""


class Engine(Protocol):
    """One engine's state."""

    @property
    def name(self) -> str:
        """As users call it."""

    @property
    def places(self) -> tuple[str, ...]:
        """The directories looked at."""

    def all(self) -> Iterator[Found]:
        """Every container that its files tell of."""

    def find(self, identity: str, scope: str = "") -> Found | None:
        """The container with an id; ``scope``: probably in this namespace of containerd's."""


@dataclass(frozen=True)
class Places:
    """The directories of an engine that there are, and those of them that may not be read."""

    engine: str
    there: tuple[str, ...]
    closed: tuple[str, ...]

    @staticmethod
    def of(engine: Engine) -> Places:
        """As they are now."""
        there = tuple(filter(os.path.isdir, engine.places))
        closed = tuple(place for place in there if not os.access(place, os.R_OK | os.X_OK))
        return Places(engine.name, there, closed)


class Engines:
    """The engines of this machine; ``root`` is where its files are, if not where they are seen to
    be. Not thread-safe."""

    def __init__(self, root: str | None = None, proc: str = "/proc") -> None:
        root = machine_root() if root is None else root
        self._proc = proc
        files = Files()
        people = homes(root)
        self.containerd = Containerd(files, root)
        self._engines: tuple[Engine, ...] = (
            Docker(files, people, root),
            Storage(files, people, root),
            self.containerd,
        )

    @property
    def places(self) -> tuple[Places, ...]:
        """Where each engine's containers are looked for."""
        return tuple(Places.of(engine) for engine in self._engines)

    def all(self) -> list[Found]:
        """Every container of which there is any state."""
        return [found for engine in self._engines for found in engine.all()]

    def find(self, identity: str, scope: str = "") -> Found | None:
        """The container with an id, whosever it is; root's, where a user has one of that id too."""
        found = [one for engine in self._engines if (one := engine.find(identity, scope))]
        return next((one for one in found if one.container.uid is None), (*found, None)[0])

    def container_of(self, pid: int) -> Container | None:
        """The container that a process is in: by its cgroup, which its engine chose, else by the
        monitor above it; None for a process of the machine itself, and for one that is gone.

        The outermost: what is in a container may be an engine of its own.
        """
        unknown: Container | None = None
        for path in self._cgroups(pid):
            for mark in cgroups.marks(path):
                found = self._marked(mark)
                if found is not None and self._is_its(found, mark.path):
                    return found.container
                if found is None and mark.engine and unknown is None:
                    unknown = Container(mark.engine, mark.id, None, None)
        return self._monitored(pid) or unknown

    def _marked(self, mark: cgroups.Mark) -> Found | None:
        """The container that a cgroup is called after. A user's is in that user's part of the
        hierarchy: what his files say of cgroups elsewhere is no evidence."""
        found = self.find(mark.id, mark.scope)
        uid = found.container.uid if found is not None else None
        return found if uid is None or f"/user-{uid}.slice/" in mark.path else None

    def _cgroups(self, pid: int) -> list[str]:
        return cgroups.paths(read(f"{self._proc}/{pid}/cgroup", _CGROUPS))

    def _is_its(self, found: Found, cgroup: str) -> bool:
        """Whether a container's first process is in a cgroup, or below it: whoever has a part of
        the hierarchy to himself can call a cgroup like another's. Nobody can tell once it is gone.
        """
        its = self._cgroups(found.pid) if found.pid else []
        return not its or any(f"{path}/".startswith(f"{cgroup}/") for path in its)

    def _monitored(self, pid: int) -> Container | None:
        """The container of the monitor above a process, as far as that is its own to name."""
        monitor = monitors.monitor_of(pid, self._proc)
        if monitor is None:
            return None
        found = self.find(monitor.id)
        if found is not None and found.container.uid == monitor.uid:
            return found.container
        return Container("podman", monitor.id, monitor.name, None, uid=monitor.uid)
