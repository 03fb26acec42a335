"""What receivers' sockets dropped, from the kernel's counters, read once an interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracer.sockets.detail import Detail
from tracer.summary import many
from tracer.top.meter import Meter
from tracer.top.model import NOT_KNOWN, DropId, Figure

LIMIT = 16384
"""Sockets that have dropped whose counts are remembered."""

_COUNTER = 1 << 32
"""What the kernel's counter wraps at."""


@dataclass(frozen=True)
class Reading:
    """The sockets of each network namespace that was read; ``gone``: those there are no more.

    ``late``: how many there was no time for; ``closed``: how many could not be read.
    """

    sockets: Mapping[int, Sequence[Detail]] = field(default_factory=dict)
    gone: tuple[int, ...] = ()
    late: int = 0
    closed: int = 0


class Reader(Protocol):
    """Reads drop counters (tracer.system.drops)."""

    def __call__(self, inums: Iterable[int]) -> Reading:
        """Of all UDP sockets of these network namespaces, for no longer than is bearable."""


class Drops:
    """What is new in the counters between two readings."""

    def __init__(self) -> None:
        self._meter: Meter[DropId] = Meter(LIMIT)
        self._latest: dict[int, dict[int, int]] = {}
        self._fresh: set[int] = set()
        """Namespaces whose counts are of the current interval."""
        self._dropping: dict[DropId, Detail] = {}
        self.unknown: tuple[str, ...] = ()
        """Why some are not known, in words."""

    def take(self, reading: Reading) -> None:
        """Take in the counters as they are at the end of an interval."""
        self._meter.begin()
        self._fresh.clear()
        self._dropping.clear()
        for inum in reading.gone:
            self._latest.pop(inum, None)
        for inum, details in reading.sockets.items():
            self._take(inum, details)
        self.unknown = tuple(
            f"drops: {many(count, 'netns', 'netns')} {why}"
            for count, why in (
                (reading.late, "left out: too many sockets to read in time"),
                (reading.closed, "could not be read"),
            )
            if count
        )

    def _take(self, inum: int, details: Sequence[Detail]) -> None:
        before = self._latest.get(inum)
        now = {d.view.inode: d.drops for d in details if d.drops is not None and d.view.inode}
        self._latest[inum] = now
        if before is None:
            return  # what was dropped before the trace is nobody's news
        self._fresh.add(inum)
        for detail in details:
            inode = detail.view.inode
            if inode not in now:
                continue
            new = (now[inode] - before.get(inode, 0)) % _COUNTER
            key = DropId(inum, inode)
            if new:
                self._meter.add(key, new)
            if self._meter.figure(key).total:
                self._dropping[key] = detail

    def figure(self, key: DropId | None) -> Figure:
        """What a socket dropped; not known where its namespace or itself was not read."""
        if key is None or key.netns not in self._fresh or key.inode not in self._latest[key.netns]:
            return NOT_KNOWN
        return self._meter.figure(key)

    def dropping(self) -> Iterable[tuple[DropId, Detail]]:
        """The sockets that were read and have dropped since the trace began."""
        return self._dropping.items()
