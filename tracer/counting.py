"""When the kernel's counters of which network namespace are read, and which readings are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from tracer.events import Counters, Event, NetnsInfo
from tracer.system.netns import Netns

LIMIT = 1024
"""Network namespaces whose counters are read; a reading takes a fraction of a millisecond."""

BATCH_NS = 20_000_000
"""How long events wait while counters are read."""

LONG_BATCH_NS = 100_000_000
"""The same at the start and at the end, when nobody waits for events."""


class Source(Protocol):
    """Where the counters are read: this machine, or a test's idea of one."""

    def now(self) -> int:
        """CLOCK_MONOTONIC, nanoseconds."""

    def namespaces(self) -> Mapping[int, Netns]:
        """All network namespaces that can be found, by inode number."""

    def counters(self, netns: Netns) -> Counters | None:
        """A namespace's counters; None when it is gone or cannot be entered."""


class Counting:
    """The namespaces known, the latest reading of each, and those that are due for one.

    ``say`` takes a line for the user, once, when there are more namespaces than ``limit``.
    """

    def __init__(self, source: Source, say: Callable[[str], None], limit: int = LIMIT) -> None:
        self._source = source
        self._say = say
        self._limit = limit
        self._latest: dict[int, Counters] = {}
        self._due: dict[int, Netns] = {}
        self._met: set[int] = set()
        """Seen in the log, and not read yet."""
        self._gone: list[Counters] = []
        """The latest readings of namespaces that are not there any more."""
        self._said = False

    def meet(self, events: Iterable[Event]) -> None:
        """Take notice of the namespaces that a look-up has told of."""
        for event in events:
            if isinstance(event, NetnsInfo) and not self._is_known(event):
                self._met.add(event.inum)

    def want_all(self) -> None:
        """Have every namespace read that there is now."""
        found = self._source.namespaces()
        for inum in [inum for inum in self._latest if inum not in found]:
            self._lose(inum)
        for inum, netns in found.items():
            self._want(inum, netns)
        self._met.clear()

    @property
    def pending(self) -> bool:
        """Whether there is anything to read or to tell."""
        return bool(self._due or self._met or self._gone)

    def batch(self, budget_ns: int, *, final: bool = False) -> list[Counters]:
        """Read what is due, at least one namespace and for about so long; returns what is news.

        ``final`` readings are always news. A namespace that went tells so by an empty reading.
        """
        began = self._source.now()
        self._find_met()
        found: list[Counters] = []
        while self._due:
            inum = next(iter(self._due))
            found += self._read(inum, self._due.pop(inum), final=final)
            if self._source.now() - began >= budget_ns:
                break
        gone, self._gone = self._gone, []
        now = self._source.now()
        told = [replace(last, time=now, until=now, values=(), final=final) for last in gone]
        return told + found

    def _read(self, inum: int, netns: Netns, *, final: bool) -> list[Counters]:
        reading = self._source.counters(netns)
        last = self._latest.get(inum)
        if last is not None and (reading is None or reading.cookie != last.cookie):
            self._lose(inum)
            last = None
        if reading is None:
            return []
        self._latest[inum] = reading
        if last is not None and last.values == reading.values and not final:
            return []
        return [replace(reading, final=final)]

    def _lose(self, inum: int) -> None:
        self._gone.append(self._latest.pop(inum))
        self._due.pop(inum, None)

    def _is_known(self, info: NetnsInfo) -> bool:
        last = self._latest.get(info.inum)
        return last is not None and last.cookie == info.cookie

    def _find_met(self) -> None:
        if self._met:
            found = self._source.namespaces()
            for inum in sorted(self._met & found.keys()):
                self._want(inum, found[inum])
            self._met.clear()

    def _want(self, inum: int, netns: Netns) -> None:
        if inum in self._latest or len(self._latest.keys() | self._due.keys()) < self._limit:
            self._due[inum] = netns
        elif not self._said:
            self._said = True
            self._say(f"the counters of no more than {self._limit} network namespaces are read")
