"""What would become of a datagram: the verdict by a snapshot, with the linker's judging and words.

No datagram is sent and nothing is traced: the sockets are those of a moment ago, and the checks are
those that an incident is judged by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracer.addresses import endpoint
from tracer.advice import explain
from tracer.answer import SILENT, Answer, Refusal
from tracer.between import Between
from tracer.compose import compose
from tracer.counts import flow_of, key_of
from tracer.delivery import found, takers
from tracer.describe import Describer
from tracer.episode import Episode
from tracer.events import (
    Clock,
    Event,
    InContainer,
    Miss,
    NetnsContainers,
    NetnsInfo,
    SocketSeen,
    SocketView,
    Walk,
)
from tracer.incident import Incident
from tracer.inhabitants import Inhabitants
from tracer.judge import Judge, Verdict
from tracer.match import Nearest, distance, measure, takes_part
from tracer.namespaces import Namespaces
from tracer.origin import Origin, OriginFinder
from tracer.parts import Socket
from tracer.socktable import SocketTable
from tracer.system.arrival import Arrival
from tracer.timefmt import Anchor
from tracer.totals import Limits

LISTED = 16
"""Sockets of a group, at most, that are told of one by one."""

NEAREST = 3
"""Further sockets on the port, the nearest, of which is told what they would refuse it by."""

_PROC = "/proc/net/udp was read, not udp_diag: it tells no devices and no v6only flags"


def check(evidence: Iterable[Event], clock: Clock, netns: NetnsInfo, arrival: Arrival) -> Answer:
    """What would become of a datagram that comes into ``netns`` as ``arrival`` says.

    ``evidence``: a snapshot of the machine, with what was looked up of containers; ``clock`` was
    read after it.
    """
    return _Check(list(evidence), clock, netns, arrival).answer()


class _Check:
    """One question, with what is known for it."""

    def __init__(
        self, evidence: list[Event], clock: Clock, netns: NetnsInfo, arrival: Arrival
    ) -> None:
        limits = Limits()
        seen = [event for event in evidence if isinstance(event, SocketSeen)]
        # All of them at once: nothing is forgotten here.
        self._table = SocketTable(max(limits.sockets, len(seen)), 1, 1)
        self._namespaces = Namespaces(limits.namespaces)
        self._inhabitants = Inhabitants(limits.sockets)
        for event in evidence:
            self._learn(event)
        here = [event for event in seen if event.socket.netns == netns.inum]
        port = arrival.datagram.dport
        self._on_port = tuple(e.socket for e in here if e.socket.lport == port)
        proc = any(event.source == "proc" for event in here)
        self._doubts = (*arrival.doubts, *([_PROC] if proc else []))
        self._anchor = Anchor.of(clock)
        self._describer = Describer(self._table, self._namespaces, self._anchor, self._inhabitants)
        self._netns, self._arrival = netns, arrival
        self._miss = _miss(clock.time, netns, arrival, self._on_port)

    def _learn(self, event: Event) -> None:
        self._table.learn(event)
        if isinstance(event, NetnsInfo):
            self._namespaces.learn(event)
        elif isinstance(event, NetnsContainers):
            self._namespaces.inhabited(event)
        elif isinstance(event, InContainer):
            self._inhabitants.learn(event)

    def answer(self) -> Answer:
        """The verdict, in words and fields."""
        answer = Answer(
            time=self._anchor.utc(self._miss.time),
            verdict=None,
            datagram=self._describer.datagram(self._miss),
            netns=self._describer.netns(self._netns.inum, self._netns.cookie),
            way=self._arrival.way,
            why=self._arrival.unreached or "",
            broadcast=self._arrival.broadcast,
            candidates=len(self._on_port),
            certain=not self._doubts,
            caveats=self._doubts,
        )
        if answer.why:
            return answer
        find = takers if self._arrival.broadcast else found
        accept = self._arrival.l3mdev_accept
        taking = find(self._on_port, self._arrival.datagram, l3mdev_accept=accept)
        origin = self._origin()
        answer = replace(answer, origin=self._socket(origin.socket) if origin.socket else None)
        return self._delivered(answer, taking) if taking else self._missed(answer, origin)

    def _delivered(self, answer: Answer, taking: tuple[SocketView, ...]) -> Answer:
        family = answer.datagram.family
        near = sorted(taking, key=lambda view: distance(Nearest(view, ()), family))
        sockets = tuple(self._socket(view) for view in near[:LISTED])
        return replace(
            answer,
            verdict="delivered",
            why=_of_several(near, broadcast=answer.broadcast),
            socket=sockets[0],
            group=sockets if len(near) > 1 else (),
            candidates=len(self._on_port) - 1,
        )

    def _missed(self, answer: Answer, origin: Origin) -> Answer:
        """As the linker would tell of the miss."""
        judge = Judge(self._table, self._namespaces, closed_window_ns=0)
        verdict = judge.judge(self._miss, (), None, self._describer, None)
        incident = self._incident(origin, verdict)
        return replace(
            answer,
            verdict="missed",
            why=explain(incident),
            socket=self._socket(verdict.socket) if verdict.socket else None,
            cause=incident.cause,
            mismatch=incident.mismatch,
            candidates=incident.candidates,
            nearest=self._others(incident, verdict.socket),
            hints=incident.hints,
            advice=incident.advice,
            notes=(*answer.notes, SILENT) if answer.broadcast else answer.notes,
        )

    def _incident(self, origin: Origin, verdict: Verdict) -> Incident:
        """The miss as the linker would tell of it, without what only a trace can know."""
        miss = self._miss
        episode = Episode(
            key_of(miss), miss, True, (), origin, self._anchor, count=1, last=miss.time
        )
        between = Between(self._table, limit=1)
        incident = compose(episode, verdict, self._describer, None, between)
        return replace(incident, set_by=())

    def _others(self, incident: Incident, named: SocketView | None) -> tuple[Refusal, ...]:
        """The next in the ranking, each with why it would not take the datagram."""
        datagram = self._arrival.datagram
        links, accept = dict(self._netns.links), self._arrival.l3mdev_accept
        measured = [
            measure(view, datagram, links=links, l3mdev_accept=accept)
            for view in self._on_port
            if view != named and takes_part(view, datagram)
        ]
        measured.sort(key=lambda near: distance(near, datagram.family))
        return tuple(self._refusal(incident, near) for near in measured[:NEAREST])

    def _refusal(self, incident: Incident, near: Nearest) -> Refusal:
        socket = self._socket(near.socket)
        of_it = replace(
            incident, cause=near.mismatch[0].field, mismatch=near.mismatch, socket=socket
        )
        return Refusal(socket, near.mismatch, explain(of_it))

    def _origin(self) -> Origin:
        """The local socket that would send it."""
        finder = OriginFinder(self._table, self._namespaces)
        return finder.find(self._miss, flow_of(key_of(self._miss)))

    def _socket(self, view: SocketView) -> Socket:
        # That no call was seen says nothing where none could be.
        return replace(self._describer.socket(view, self._miss.time), port_set_by=None)


def _miss(now: int, netns: NetnsInfo, arrival: Arrival, on_port: tuple[SocketView, ...]) -> Miss:
    """The miss that a trace would see, its walk complete."""
    datagram = arrival.datagram
    port_unreachable = (3, 3) if datagram.family == "ipv4" else (1, 4)
    return Miss(
        time=now,
        datagram=datagram,
        netns=netns.inum,
        netns_cookie=netns.cookie,
        icmp_type=port_unreachable[0],
        icmp_code=port_unreachable[1],
        proven=True,
        passes=None,
        caller=None,
        since=now,
        total=1,
        walk=Walk(len(on_port), len(on_port), 0, False, on_port),
        l3mdev_accept=arrival.l3mdev_accept,
    )


def _of_several(near: Sequence[SocketView], *, broadcast: bool) -> str:
    """Which of the sockets it is, where there are several."""
    count = len(near)
    if broadcast:
        return "the one socket that gets a copy" if count == 1 else f"{count} sockets get a copy"
    if count == 1:
        return "takes it"
    ends = {endpoint(view.local, view.lport) for view in near}
    share = f" that share {ends.pop()}" if len(ends) == 1 else ""
    return (
        f"one of {count} sockets{share}: a SO_REUSEPORT group chooses by a hash, others by their "
        "place in the hash chain, which is not told"
    )
