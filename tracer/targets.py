"""The network namespaces asked for: those named by -N and -p, and where -c's containers run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracer.events import Counters, NetnsContainers, TargetChange
from tracer.namespaces import same_netns

ALL = "all"
"""The word for every namespace."""

LIMIT = 4096
"""Namespaces that containers were in, the latest: one that restarts all day has many."""


@dataclass(slots=True)
class _Stay:
    """A container's time in a namespace; what missed before its end concerns it still."""

    inum: int
    cookie: int
    spec: str
    ended: int | None = None


class TargetSet:
    """``following``: containers are asked for, so that no namespace at all is not every one.

    ``containers``: those asked for afterwards, by their ids: the trace tells where they were.
    """

    def __init__(
        self,
        inums: Iterable[int] = (),
        *,
        following: bool = False,
        containers: Iterable[str] = (),
    ) -> None:
        self._fixed = frozenset(inums)
        self._cookies: dict[int, int] = {}
        """Of those fixed; their numbers are others' when they are deleted."""
        self._following = following
        self._containers = frozenset(containers)
        self._stays: list[_Stay] = []

    @property
    def everything(self) -> bool:
        """Nothing in particular was asked for."""
        return not self._fixed and not self._following and not self._containers

    def take(self, change: TargetChange) -> bool:
        """Take in that a container started or ended; returns whether a namespace came to these."""
        if not self._following:
            # One whose namespace is the host's is told of by this alone.
            asked = change.state == "started" and change.container.id in self._containers
            return asked and self._came(change.inum, change.cookie)
        staying = [s for s in self._stays if s.ended is None and s.spec == change.spec]
        if change.state == "ended":
            for stay in staying:
                if stay.inum == change.inum and same_netns(stay.cookie, change.cookie):
                    stay.ended = change.time
            return False
        self._stays.append(_Stay(change.inum, change.cookie, change.spec))
        del self._stays[:-LIMIT]
        return True

    def counted(self, reading: Counters) -> None:
        """Take in a reading of a namespace's counters: the first one of a number is of the
        namespace that was asked for, since there is one of each when a trace begins."""
        if reading.inum in self._fixed:
            self._cookies.setdefault(reading.inum, reading.cookie)

    def inhabited(self, event: NetnsContainers) -> bool:
        """Take in which containers are in a namespace; returns whether it came to these by that."""
        asked = any(container.id in self._containers for container in event.containers)
        return asked and self._came(event.inum, event.cookie)

    def _came(self, inum: int, cookie: int) -> bool:
        stay = _Stay(inum, cookie, "")
        if stay in self._stays:
            return False
        self._stays.append(stay)
        del self._stays[:-LIMIT]
        return True

    def has(self, inum: int, cookie: int, when: int | None = None) -> bool:
        """Whether a namespace is among them; ``when``: it was at that time (monotonic ns)."""
        if self.everything:
            return True
        if inum in self._fixed and same_netns(self._cookies.get(inum, 0), cookie):
            return True
        return any(
            stay.inum == inum
            and same_netns(stay.cookie, cookie)
            and (stay.ended is None or when is None or when <= stay.ended)
            for stay in self._stays
        )
