"""Walks that fell short, completed: the sockets on their port, from a socket dump made at once.

The walk in the kernel is bounded (WALK_NODES), and its records can be lost. What it did not show
is read here before anything else is done with the miss, so that little can have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from tracer.events import Call, Event, Miss, PortDump, SocketView, falls_short
from tracer.lru import Lru
from tracer.shortlist import Shortlist

NEAREST = 256
"""Sockets of a dump that are kept for a miss: as many as a walk shows."""

PORT_NS = 1_000_000_000
"""A port is read at most this often, and for all the misses that ask at that moment."""

READING_NS = 2_000_000_000
"""A reading that takes longer is given up. A socket takes about 20 us: this is 100,000 of them."""

SHARE = 10
"""Reading takes at most one part in this many of the time, ..."""

BURST_NS = 2_000_000_000
"""... but for so much at first: misses on a crowd come together."""

_CLOCK_EVERY = 1024
"""Sockets between two looks at the clock."""

_TOGETHER = 16
"""Misses on one port that one reading serves."""

_LIMIT = 4096
"""Ports and namespaces kept in mind."""


class Reader(Protocol):
    """Where the sockets are read: this machine, or a test's idea of one."""

    def now(self) -> int:
        """CLOCK_MONOTONIC, nanoseconds."""

    def sockets_on_port(
        self,
        inum: int,
        cookie: int,
        port: int,
        hint_pids: Iterable[int],
        take: Callable[[SocketView], None],
    ) -> str | None:
        """Hand each socket on a port to ``take``; returns why these are not all, or None."""


class _Port(NamedTuple):
    netns: int
    netns_cookie: int
    port: int


class _TooLong(Exception):
    """A reading is given up; what was read so far counts."""


class Completion:
    """Sees every event that comes from the kernel, and adds what was read for it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._read_at: Lru[_Port, int] = Lru(_LIMIT)
        """When each port was read last."""
        self._users: Lru[int, int] = Lru(_LIMIT)
        """Namespace -> a process seen in it."""
        self._allowance = BURST_NS
        self._allowed_at = 0

    def complete(self, events: Iterable[Event]) -> list[Event]:
        """The events, each miss whose walk fell short followed by what its port was found to hold.

        All of it is read first: the events are not late, for what is read is dated.
        """
        events = list(events)
        short: dict[_Port, list[Miss]] = {}
        for event in events:
            if isinstance(event, Call):
                self._users.put(event.after.netns, event.task.pid)
            elif isinstance(event, Miss) and falls_short(event):
                port = _Port(event.netns, event.netns_cookie, event.datagram.dport)
                short.setdefault(port, []).append(event)
        if not short:
            return events
        found = {id(miss): dump for port in short for miss, dump in self._read(port, short[port])}
        return [part for event in events for part in _with(event, found.get(id(event)))]

    def _read(self, port: _Port, misses: Sequence[Miss]) -> list[tuple[Miss, PortDump]]:
        """What a port holds, for each of the misses on it."""
        began = self._reader.now()
        why = self._refusal(port, began)
        served = [] if why else list(misses[:_TOGETHER])
        dumps = self._serve(port, served, began) if served else []
        late = [
            _dump(miss, began, began, 0, (), why or "too many misses at that moment")
            for miss in misses[len(served) :]
        ]
        return list(zip(misses, dumps + late, strict=True))

    def _serve(self, port: _Port, misses: Sequence[Miss], began: int) -> list[PortDump]:
        total = 0
        lists = [_shortlist(miss) for miss in misses]

        def take(view: SocketView) -> None:
            nonlocal total
            total += 1
            if total % _CLOCK_EVERY == 0 and self._reader.now() - began > READING_NS:
                raise _TooLong
            for shortlist in lists:
                shortlist.offer(view)

        user = self._users.get(port.netns)
        hints = () if user is None else (user,)
        try:
            why = self._reader.sockets_on_port(*port, hints, take)
        except _TooLong:
            why = f"{total} were read when it had taken too long"
        ended = self._reader.now()
        self._read_at.put(port, ended)
        self._allowance -= ended - began
        return [
            _dump(miss, began, ended, total, shortlist.sockets(), why)
            for miss, shortlist in zip(misses, lists, strict=True)
        ]

    def _refusal(self, port: _Port, now: int) -> str | None:
        """Why a port is not read now; None when it may be."""
        gained = (now - self._allowed_at) // SHARE
        self._allowance, self._allowed_at = min(BURST_NS, self._allowance + gained), now
        last = self._read_at.get(port)
        if last is not None and now - last < PORT_NS:
            return "they were read less than a second before, for another datagram"
        return None if self._allowance > 0 else "reading sockets has taken its share of the time"


def _shortlist(miss: Miss) -> Shortlist:
    walked = miss.walk.candidates if miss.walk else ()
    known = (view.inode for view in walked)
    return Shortlist(miss.datagram, NEAREST, known, l3mdev_accept=miss.l3mdev_accept)


def _dump(
    miss: Miss,
    began: int,
    ended: int,
    total: int,
    sockets: tuple[SocketView, ...],
    incomplete: str | None,
) -> PortDump:
    port = miss.datagram.dport
    netns = (miss.netns, miss.netns_cookie)
    return PortDump(ended, began, miss.time, *netns, port, total, sockets, incomplete)


def _with(event: Event, dump: PortDump | None) -> tuple[Event, ...]:
    return (event,) if dump is None else (event, dump)
