"""A miss and its repeats on their way to becoming an incident: the linker's working state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tracer.counts import Flow, MissKey, flow_before, flow_of, is_proven
from tracer.events import (
    Fate,
    IcmpReceived,
    Miss,
    MissCount,
    PortDump,
    ReceivedIcmp,
    SockError,
    SocketView,
    Translation,
)
from tracer.incident import Incident
from tracer.judge import Verdict
from tracer.origin import Origin
from tracer.socktable import SocketKey
from tracer.timefmt import NS, Anchor

# Updates of an incident that goes on: the first after one second, then at doubling distances.
_FIRST_UPDATE_NS = NS
_LAST_UPDATE_NS = 10 * NS

# An incident lists at most this many sockets that were told.
_TOLD = 16


@dataclass(slots=True, eq=False)
class Episode:
    """What is known of one incident so far. It settles until ``verdict`` is set."""

    key: MissKey
    miss: Miss
    streamed: bool
    """Whether ``miss`` was streamed; else it was made from the kernel's counter of it."""
    known: tuple[SocketView, ...]
    """Sockets known on the port at the miss, where its walk does not suffice."""
    origin: Origin
    anchor: Anchor | None
    count: int
    last: int
    """Time of the latest miss known."""
    dump: PortDump | None = None
    """What was read of the port after the miss, where its walk fell short."""
    unseen: int = 0
    """How many of the count came before ``miss``, under a verdict that nobody can know now."""
    caveats: list[str] = field(default_factory=list)
    """What is doubtful beside the verdict."""
    told: dict[tuple[SocketKey, int], SockError] = field(default_factory=dict)
    more_told: int = 0
    losses: dict[str, int] = field(default_factory=dict)
    received: ReceivedIcmp | None = None
    """The ICMP that came in, where ``miss`` was made from one: it missed on another machine."""
    unsent: int = 0
    """How many of the count are known to have made no ICMP that left."""
    fates_counted: bool = True
    """Whether that is known of all repeats, too."""
    fate: Fate | None = None
    """What became of the first ICMP; None where that was not seen."""
    nat: Translation | None = None
    """What connection tracking knew of the datagram; it may be that it was not translated."""
    verdict: Verdict | None = None
    due: int | None = None
    """When to settle or to tell the next update; None when there is nothing to tell."""
    incident: Incident | None = None
    """As last told."""
    told_at: int = 0
    interval: int = _FIRST_UPDATE_NS
    joined: Episode | None = None
    """The episode of the incident that this one turned out to repeat."""

    @property
    def sent(self) -> Flow:
        """The four-tuple that the datagram was sent with, as far as known."""
        return flow_before(self.nat) if self.nat else flow_of(self.key)

    @property
    def translated(self) -> Translation | None:
        """What changed the datagram's ends on its way; None where nothing is known to have."""
        return self.nat if self.sent != flow_of(self.key) else None

    def tell(self, socket: SocketKey, error: SockError) -> bool:
        """Note that a socket was told; returns whether that is new."""
        if (socket, error.errno) in self.told:
            return False
        if len(self.told) >= _TOLD:
            self.more_told += 1
        else:
            self.told[socket, error.errno] = error
        return True

    def doubt(self, caveat: str) -> None:
        """Note once what is doubtful beside the verdict."""
        if caveat not in self.caveats:
            self.caveats.append(caveat)

    def differs(self, other: Episode) -> bool:
        """Whether the two are known to have been sent with different four-tuples."""
        return self.nat is not None and other.nat is not None and self.sent != other.sent

    def lose(self, what: str, count: int) -> None:
        """Note that evidence was lost around the miss."""
        self.losses[what] = self.losses.get(what, 0) + count

    def absorb(self, other: Episode) -> bool:
        """Take in a repeat; returns whether there is anything new to tell."""
        before = (self.count, self.unsent, len(self.told), dict(self.losses), self.nat)
        if self.nat is None and other.nat is not None:
            self.nat, self.origin = other.nat, other.origin
        self.count += other.count
        self.unsent += other.unsent
        self.fates_counted &= other.fates_counted
        self.last = max(self.last, other.last)
        for (socket, _), error in other.told.items():
            self.tell(socket, error)
        for what, count in other.losses.items():
            self.losses[what] = max(count, self.losses.get(what, 0))
        return before != (self.count, self.unsent, len(self.told), self.losses, self.nat)

    def substantiate(self, other: Episode) -> None:
        """Take over the evidence and verdict of a miss of which more is known; keep the time."""
        self.miss = replace(other.miss, time=self.miss.time)
        self.verdict, self.streamed = other.verdict, other.streamed
        if self.origin.socket is None:
            self.origin = other.origin

    def judged(self, verdict: Verdict) -> None:
        """Keep the verdict and let go of the sockets it was reached by, which can be hundreds."""
        self.verdict = verdict
        self.known, self.dump = (), None
        if self.miss.walk is not None:
            self.miss = replace(self.miss, walk=replace(self.miss.walk, candidates=()))

    def published(self, incident: Incident, now: int) -> None:
        """Note what was told of it, and that the next update is due later than this one was."""
        if self.incident is not None:
            self.interval = min(2 * self.interval, _LAST_UPDATE_NS)
        self.incident = incident
        self.told_at = now
        self.due = None

    def next_update(self, settled: int) -> int:
        """When a change that has settled by a time may be told."""
        return settled if self.incident is None else max(settled, self.told_at + self.interval)


def same_verdict(one: Verdict, other: Verdict) -> bool:
    """Whether two misses of a key belong to one incident: same cause, socket and checks."""
    return (
        one.cause is other.cause
        and one.mismatch == other.mismatch
        and _identity(one.socket) == _identity(other.socket)
    )


def _identity(view: SocketView | None) -> tuple[object, ...]:
    if view is None:
        return ()
    return (view.netns, view.inode or view.sock)


def miss_from_count(event: MissCount, earlier: int) -> Miss:
    """The miss behind a counter whose streamed miss did not arrive: all but its evidence.

    ``earlier``: how many of its total were told before. That UDP's receive path sent the ICMP is
    taken from its type and code where the count does not tell.
    """
    return Miss(
        time=event.last if earlier else event.since,
        datagram=event.datagram,
        netns=event.netns,
        netns_cookie=event.netns_cookie,
        icmp_type=event.icmp_type,
        icmp_code=event.icmp_code,
        proven=is_proven(event),
        passes=None,
        caller=None,
        since=event.since,
        total=event.total,
        walk=None,
    )


def miss_from_received(event: IcmpReceived) -> Miss:
    """The miss that an ICMP from elsewhere tells of: where it happened nothing was seen."""
    return Miss(
        time=event.time,
        datagram=event.datagram,
        netns=event.netns,
        netns_cookie=event.netns_cookie,
        icmp_type=event.icmp.type,
        icmp_code=event.icmp.code,
        proven=False,
        passes=None,
        caller=None,
        since=event.since,
        total=event.total,
        walk=None,
        packet=event.packet,
    )
