"""Docker's containers, from config.v2.json below its data root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tracer.containers import Container
from tracer.system.containers.files import Files, changed_at, field, listed, number, word
from tracer.system.containers.found import Found
from tracer.system.containers.kubernetes import pod_of
from tracer.system.containers.users import Home

_ID = re.compile("[0-9a-f]{64}")


class Docker:
    """Root's docker and that of every user, wherever daemon.json puts their data."""

    name = "docker"

    def __init__(self, files: Files, homes: tuple[Home, ...], root: str = "") -> None:
        self._files = files
        configured = word(field(files.json(f"{root}/etc/docker/daemon.json"), "data-root"))
        default = f"{root}/var/lib/docker"
        self._roots: dict[str, int | None] = {}
        for path in (default, f"{root}{configured}" if configured else default):
            self._roots[f"{path}/containers"] = None
        for home in homes:
            self._roots[f"{home.path}/.local/share/docker/containers"] = home.uid

    @property
    def places(self) -> tuple[str, ...]:
        """The directories looked at."""
        return tuple(self._roots)

    def all(self) -> Iterator[Found]:
        """Every container that there is, running or not."""
        for place, uid in self._roots.items():
            for name in listed(place):
                if _ID.fullmatch(name) and (found := self._read(place, name, uid)):
                    yield found

    def find(self, identity: str, scope: str = "") -> Found | None:
        """The container with an id."""
        if not _ID.fullmatch(identity):
            return None
        found = (self._read(place, identity, uid) for place, uid in self._roots.items())
        return next(filter(None, found), None)

    def _read(self, place: str, identity: str, uid: int | None) -> Found | None:
        path = f"{place}/{identity}/config.v2.json"
        state = self._files.json(path)
        if field(state, "ID") != identity:
            return None
        return _found(state, identity, uid, changed_at(path) or 0.0)


def of_inspect(state: Any, now: float) -> Found | None:
    """The container that `docker inspect` tells of, which is as the file has it."""
    identity = word(field(state, "Id"))
    return _found(state, identity, None, now) if identity else None


def _found(state: Any, identity: str, uid: int | None, written: float) -> Found:
    pod = pod_of(field(state, "Config", "Labels"))
    container = Container(
        engine=Docker.name,
        id=identity,
        name=pod.container if pod else _unslashed(word(field(state, "Name"))),
        image=word(field(state, "Config", "Image")),
        pod=pod.name if pod else None,
        sandbox=pod.sandbox if pod else False,
        uid=uid,
    )
    running = field(state, "State", "Running") is True
    pid = number(field(state, "State", "Pid")) if running else 0
    return Found(container, pid, _status(state), written)


def _unslashed(name: str | None) -> str | None:
    return name.removeprefix("/") if name else None


def _status(state: object) -> str:
    """docker's own word, as in `docker ps`."""
    for status in ("Paused", "Restarting", "Running", "Dead"):
        if field(state, "State", status) is True:
            return status.lower()
    started = word(field(state, "State", "StartedAt")) or "0001"
    return "created" if started.startswith("0001") else "exited"
