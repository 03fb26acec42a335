"""The consumer of a trace's events that `top` has: at each interval's end a snapshot of rates.

The linker says which flows there are and why they miss; how often is counted beside it, at once,
because an incident that goes on is told of at growing distances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tracer.counts import MissCounts, MissKey, key_of
from tracer.events import (
    Clock,
    Counters,
    End,
    Event,
    Expired,
    Header,
    IcmpReceived,
    Miss,
    MissCount,
    NetnsContainers,
    NetnsInfo,
    SockError,
    TargetChange,
    Tick,
)
from tracer.incident import Incident
from tracer.link import IncidentUpdate, Linker
from tracer.lru import Lru
from tracer.sockets.detail import Detail
from tracer.targets import TargetSet
from tracer.timefmt import Anchor
from tracer.top.drops import Drops, Reader
from tracer.top.meter import Meter
from tracer.top.model import (
    DropId,
    Entry,
    Figure,
    Snapshot,
    SocketId,
    drop_id,
    id_of_socket,
    id_of_view,
)
from tracer.totals import Limits, Stats

INTERVAL_NS = 2_000_000_000
TOLD = 16
"""Sockets that were told of one flow's misses whose errors are counted, the latest."""

NAMESPACES = 256
"""Network namespaces whose sockets' drops are read, the latest."""


@dataclass(slots=True)
class _Flow:
    """What is known of one key: its latest incident, and who was told in all of them."""

    incident: Incident
    told: tuple[SocketId, ...]


class Top:
    """``show`` takes each snapshot; what it raises is passed on. ``targets`` are the namespaces
    whose drops are read; ``refreshes``: as many are wanted. ``every_socket``: drops of sockets that
    no flow names are told, too.
    """

    def __init__(
        self,
        linker: Linker,
        show: Callable[[Snapshot], None],
        read_drops: Reader,
        *,
        interval_ns: int = INTERVAL_NS,
        refreshes: int | None = None,
        targets: TargetSet | None = None,
        every_socket: bool = True,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._linker = linker
        self._show = show
        self._read_drops = read_drops
        self._interval_ns = interval_ns
        self._left = refreshes
        self._targets = targets or TargetSet()
        self._every_socket = every_socket
        self._namespaces: Lru[int, NetnsInfo] = Lru(NAMESPACES)
        self._counts = MissCounts(limits.keys)
        self._misses: Meter[MissKey] = Meter(limits.keys)
        self._errors: Meter[SocketId] = Meter(limits.sockets)
        self._drops = Drops()
        self._flows: Lru[MissKey, _Flow] = Lru(limits.incidents)
        self._forgotten_misses = 0
        self._anchor: Anchor | None = None
        self._began = 0
        self._next: int | None = None
        self._counted: int | None = None
        """When the kernel's counters were read for the snapshot that is due."""
        self._since = 0
        """When they were read for the one before."""

    @property
    def stats(self) -> Stats:
        """The linker's totals."""
        return self._linker.stats

    def age_ns(self, now: int) -> int:
        """How long the trace has run by ``now`` (monotonic ns)."""
        return now - self._began

    def counts_due(self, now: int) -> bool:
        """True once for each snapshot that is due: the kernel's counters are to be read at ``now``
        (monotonic ns), and what they say is to be fed before the next Tick."""
        if self._next is None or now < self._next or self._counted is not None:
            return False
        self._counted = now
        return True

    # As tracer.log.Consumer has it

    @property
    def full(self) -> bool:
        """As many snapshots as were asked for have been shown."""
        return self._left is not None and self._left <= 0

    def feed(self, event: Event) -> None:
        """Take the next event; at a Tick and at the End show what is due."""
        for update in self._linker.feed(event):
            self._learn(update)
        self._take(event)
        if isinstance(event, Tick) and self._next is not None and event.time >= self._next:
            self._refresh(event.time)
            self._next = event.time + self._interval_ns
        if isinstance(event, End) and not self.full:
            self._refresh(event.time, final=True)

    def next_deadline(self) -> int | None:
        """When the linker or the table is due (monotonic ns)."""
        deadlines = (self._linker.next_deadline(), self._next)
        return min((d for d in deadlines if d is not None), default=None)

    def _take(self, event: Event) -> None:
        match event:
            case Header():
                self._anchor = Anchor.of(event)
                self._began = self._since = event.time
                self._next = event.time + self._interval_ns
            case Clock():
                self._anchor = Anchor.of(event)
            case Miss() | MissCount() | IcmpReceived():
                key = key_of(event)
                new = self._counts.credit(key, event)
                if new:
                    self._misses.add(key, new)
                    self._flows.touch(key)
            case Expired():
                self._counts.expire(event.before)
            case SockError():
                if event.errno:
                    self._errors.add(id_of_view(event.socket), 1)
            case NetnsInfo():
                self._namespaces.put(event.inum, event)
            case Counters():
                self._targets.counted(event)
            case NetnsContainers():
                self._targets.inhabited(event)
            case TargetChange():
                self._targets.take(event)

    def _learn(self, update: IncidentUpdate) -> None:
        """Note why a flow misses, and who was told."""
        incident = update.incident
        key = key_of_incident(incident)
        flow = self._flows.touch(key)
        told = dict.fromkeys(flow.told if flow is not None else ())
        told |= dict.fromkeys(id_of_socket(t.socket) for t in incident.told)
        if flow is not None and flow.incident.mono_ns > incident.mono_ns:
            incident = flow.incident
        latest = _Flow(incident, tuple(told)[-TOLD:])
        for gone in self._flows.put(key, latest):
            # Should it come back, it begins anew: no miss is counted on both sides.
            self._forgotten_misses += self._misses.forget(key_of_incident(gone.incident))

    # Snapshots

    def _refresh(self, now: int, *, final: bool = False) -> None:
        reading = self._read_drops(self._in_view())
        for inum in reading.gone:
            self._namespaces.pop(inum)
        self._drops.take(reading)
        counted = now if self._counted is None else self._counted
        # At the end hardly any time may have passed.
        self._show(self._snapshot(counted, max(1, counted - self._since), final=final))
        self._misses.begin()
        self._errors.begin()
        self._since, self._counted = counted, None
        if self._left is not None:
            self._left -= 1

    def _in_view(self) -> list[int]:
        """The targets, and where what concerns them was received."""
        receivers = {flow.incident.netns.inum for flow in self._flows}
        return [
            n.inum
            for n in self._namespaces
            if n.inum in receivers or self._targets.has(n.inum, n.cookie)
        ]

    def _snapshot(self, now: int, span_ns: int, *, final: bool) -> Snapshot:
        return Snapshot(
            time=self._anchor.utc(now) if self._anchor else None,
            mono_ns=now,
            age_ns=self.age_ns(now),
            span_ns=span_ns,
            entries=(*self._of_flows(), *self._of_sockets()),
            stats=self._linker.stats,
            forgotten_flows=self._flows.forgotten,
            forgotten_misses=self._forgotten_misses,
            undropped=self._drops.unknown,
            final=final,
        )

    def _of_flows(self) -> list[Entry]:
        return [
            Entry(
                incident=flow.incident,
                netns=flow.incident.netns,
                socket=flow.incident.socket,
                misses=self._misses.figure(key),
                errors={socket: self._errors.figure(socket) for socket in flow.told},
                drops=self._drops.figure(drop_id(flow.incident.socket)),
            )
            for key, flow in self._flows.items()
        ]

    def _of_sockets(self) -> list[Entry]:
        """Those that have dropped and that no flow names."""
        if not self._every_socket:
            return []
        named = {drop_id(flow.incident.socket) for flow in self._flows}
        return [
            self._dropping(key, detail)
            for key, detail in self._drops.dropping()
            if key not in named and self._targets.has(key.netns, 0)
        ]

    def _dropping(self, key: DropId, detail: Detail) -> Entry:
        socket = self._linker.describe(detail.view)
        return Entry(None, socket.netns, socket, Figure(0, 0), {}, self._drops.figure(key))


def key_of_incident(incident: Incident) -> MissKey:
    """The kernel's key of the misses that an incident is about."""
    d, icmp, netns = incident.datagram, incident.icmp, incident.netns
    return MissKey(
        netns.inum,
        netns.cookie,
        d.src,
        d.sport,
        d.dst,
        d.dport,
        icmp.type,
        icmp.code,
        d.ifindex,
        icmp.sender is not None,
    )
