"""All engines' containers, and the one that a process is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tracer.containers import Container
from tracer.system.containers import cgroups, monitors
from tracer.system.containers.containerd import Containerd
from tracer.system.containers.docker import Docker
from tracer.system.containers.files import Files, read
from tracer.system.containers.found import Found
from tracer.system.containers.storage import Storage
from tracer.system.containers.users import homes

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


class Engines:
    """The engines of this machine; ``root`` is where its files are. Not thread-safe."""

    def __init__(self, root: str = "") -> None:
        files = Files()
        people = homes(root)
        self._engines: tuple[Engine, ...] = (
            Docker(files, people, root),
            Storage(files, people, root),
            Containerd(files, root),
        )

    @property
    def places(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(engine, directories looked at), for whom something is not found."""
        return tuple((engine.name, engine.places) for engine in self._engines)

    def all(self) -> list[Found]:
        """Every container of which there is any state."""
        return [found for engine in self._engines for found in engine.all()]

    def find(self, identity: str, scope: str = "") -> Found | None:
        """The container with an id, whosever it is."""
        found = (engine.find(identity, scope) for engine in self._engines)
        return next(filter(None, found), None)

    def container_of(self, pid: int) -> Container | None:
        """The container that a process is in: by its cgroup, which its engine chose, else by the
        monitor above it; None for a process of the machine itself, and for one that is gone."""
        unknown: Container | None = None
        for path in cgroups.paths(read(f"/proc/{pid}/cgroup", _CGROUPS)):
            for mark in cgroups.marks(path):
                if found := self.find(mark.id, mark.scope):
                    return found.container
                if mark.engine:
                    # The outermost: what is inside may be an engine of its own, in a container.
                    unknown = Container(mark.engine, mark.id, None, None)
        return monitors.monitored(pid) or unknown
