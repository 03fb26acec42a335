"""What a recording must carry over from before it begins, so that its events mean the same alone.

The linker learns from the events of a trace what it judges the later ones by. Of those that a file
does not hold (an earlier file has them, or they fell out of a ring) this keeps what they told, in
bounded memory, and tells it again as events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tracer.counts import MissKey, key_of
from tracer.events import (
    Carried,
    Clock,
    Counters,
    Event,
    Expired,
    Header,
    IcmpReceived,
    InContainer,
    Miss,
    MissCount,
    NetnsContainers,
    NetnsInfo,
    TargetChange,
    Translation,
)
from tracer.lru import Lru
from tracer.socktable import SocketTable
from tracer.targets import LIMIT as TARGETS
from tracer.totals import Limits


class State:
    """Takes the events that a file will not hold, in their order."""

    def __init__(self) -> None:
        self._limits = limits = Limits()
        self._header: Header | None = None
        self._clock: Clock | None = None
        self._table = SocketTable(limits.sockets, limits.closed, 0)
        self._namespaces: Lru[int, NetnsInfo] = Lru(limits.namespaces)
        self._containers: Lru[int, NetnsContainers] = Lru(limits.namespaces)
        self._processes: Lru[int, InContainer] = Lru(limits.sockets)
        self._targets: Lru[TargetChange, TargetChange] = Lru(TARGETS)
        self._counters: Lru[tuple[int, int], Counters] = Lru(limits.namespaces)
        self._translations: Lru[tuple[object, ...], Translation] = Lru(limits.errors)
        self._totals: Lru[tuple[MissKey, int], MissCount] = Lru(limits.keys)
        """By key and since when the kernel had counted it: the highest total told."""
        self._sent: Lru[tuple[MissKey, int], MissCount] = Lru(limits.keys)
        """The latest count that told how many of the ICMPs were sent."""
        self._time = 0
        self._events = 0

    def take(self, event: Event) -> None:
        """Take in the next event."""
        self._events += 1
        self._time = max(self._time, event.time)
        self._table.learn(event)
        match event:
            case Header():
                self._header = event
                self._table = SocketTable(
                    self._limits.sockets, self._limits.closed, event.closed_window_ns
                )
            case Clock():
                self._clock = event
            case NetnsInfo():
                self._namespaces.put(event.inum, event)
            case NetnsContainers():
                self._containers.put(event.inum, event)
            case InContainer():
                self._processes.put(event.pid, event)
            case TargetChange():
                self._targets.put(event, event)
            case Counters():
                self._counters.put((event.inum, event.cookie), event)
            case Translation():
                self._translations.put((event.netns, event.before, event.datagram), event)
            case MissCount():
                self._count(event)
                if event.sent is not None:
                    self._sent.put((key_of(event), event.since), event)
            case Miss() | IcmpReceived():
                self._count(_as_count(event))
            case Expired():
                for counts in (self._totals, self._sent):
                    counts.expire(lambda count: count.last < event.before)
            case _:
                pass

    def _count(self, event: MissCount) -> None:
        """A miss and the reading of its counter can come in either order."""
        key = (key_of(event), event.since)
        known = self._totals.touch(key)
        if known is None or event.total > known.total:
            self._totals.put(key, event)

    def events(self, part: int, repeated: int) -> Iterator[Event]:
        """The beginning of a file that holds what comes after the events taken.

        ``part`` is the file's number, ``repeated`` how many of the events after those taken the
        file before it holds, too. Nothing before the header was taken: then the file begins itself.
        """
        if self._header is None:
            return
        yield replace(self._header, part=part, carried=True)
        if self._clock is not None:
            yield self._clock
        yield from self._namespaces
        yield from self._containers
        yield from self._processes
        yield from self._targets
        yield from self._table.known()
        yield from self._translations
        yield from self._counters
        yield from self._sent
        yield from self._totals
        yield Carried(self._time, self._events, repeated, self._table.lost_calls)


def _as_count(event: Miss | IcmpReceived) -> MissCount:
    """How far a key had been counted at a miss of it."""
    if isinstance(event, IcmpReceived):
        icmp, received = (event.icmp.type, event.icmp.code), True
    else:
        icmp, received = (event.icmp_type, event.icmp_code), False
    return MissCount(
        time=event.time,
        datagram=event.datagram,
        netns=event.netns,
        netns_cookie=event.netns_cookie,
        icmp_type=icmp[0],
        icmp_code=icmp[1],
        since=event.since,
        last=event.time,
        total=event.total,
        received=received,
    )
