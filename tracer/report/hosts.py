"""Several hosts: an ICMP sent on one and told on another is one incident.

A host that refuses a datagram records a miss; the host that sent it records a `remote` incident, if
it is traced, too. The two are put together by the datagram's ends, as far apart in time as the
hosts' clocks are, which is not known: it is learnt from the pairs themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median_low

from tracer.causes import Cause
from tracer.incident import Incident
from tracer.lru import Lru
from tracer.parts import Process, SetBy, Socket
from tracer.report.model import Joined, Offset
from tracer.timefmt import NS

LIMIT = 4096
"""Incidents of each side and host that are remembered, the latest; beyond it they stay apart."""

_NEAR_NS = NS
"""Once the clocks' offset is known, a pair fits it to this, or to how far pairs mostly are off."""

_FURTHEST_NS = 600 * NS
"""Clocks that are further apart than this are not believed: private addresses are used again."""

_PER_FLOW = 16
"""Of the incidents with the same ends, so many of the latest are looked at."""

Flow = tuple[str, int, str, int, int, int]


class Halves:
    """The incidents of one host that another one may have the other half of."""

    def __init__(self) -> None:
        self.refused: Lru[str, Incident] = Lru(LIMIT)
        """Missed here, and no sender on this machine is known."""
        self.told: Lru[str, Incident] = Lru(LIMIT)
        """Told here, and refused elsewhere."""

    @property
    def forgotten(self) -> int:
        """How many were forgotten."""
        return self.refused.forgotten + self.told.forgotten

    def take(self, incident: Incident) -> None:
        """Remember an incident as it stands now."""
        if incident.time is None:
            return
        if incident.cause is Cause.REMOTE:
            self.told.put(incident.id, incident)
        elif incident.origin is None:
            self.refused.put(incident.id, incident)
        else:
            self.refused.pop(incident.id)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both halves; ``offset``: how far the clock of the host that was told is ahead."""

    refused: Incident
    told: Incident
    offset: int

    def whole(self) -> tuple[Incident, Joined]:
        """The miss with what the other host knows of its sender and of who was told."""
        told = self.told
        other = told.host or "another host"
        how = (
            f"sender and told are from the recording of {other}, whose times are moved by"
            f" {-self.offset / 1_000_000:.3f} ms to fit this clock"
        )
        whole = replace(
            self.refused,
            # It came in there, whatever was seen of its leaving here.
            icmp=replace(self.refused.icmp, status="sent"),
            origin=told.origin and _moved_socket(told.origin, -self.offset),
            told=tuple(
                replace(
                    one,
                    socket=_moved_socket(one.socket, -self.offset),
                    time=_moved(one.time, -self.offset),
                )
                for one in told.told
            ),
            not_told=tuple(
                replace(one, socket=_moved_socket(one.socket, -self.offset))
                for one in told.not_told
            ),
            untold=told.untold,
            untold_exact=told.untold_exact,
            hints=(*self.refused.hints, how),
        )
        joined = Joined(told.host or "", told.boot_id or "", told.id, self.offset)
        return whole, joined


_Found = tuple[Incident, Incident, int]
"""The half that refused, the half that was told, and the sign of their distance in time."""


def join(halves: Sequence[Halves]) -> tuple[list[Pair], list[Offset]]:
    """The pairs among the hosts, and how far their clocks are apart."""
    pairs: list[Pair] = []
    offsets: list[Offset] = []
    used: set[str] = set()
    for one, other in combinations(halves, 2):
        # How far the clock of `other` is ahead; the sign is turned where it refused.
        found = [*_candidates(one, other, 1), *_candidates(other, one, -1)]
        known = _plain(found)
        if not known:
            continue
        offset = median_low(known)
        # Not the whole spread: one false pair far off would let in others.
        reach = max(_NEAR_NS, 4 * median_low([abs(distance - offset) for distance in known]))
        chosen = list(_nearest(found, offset, reach, used))
        if chosen:
            pairs += [Pair(refused, told, sign * offset) for refused, told, sign in chosen]
            offsets.append(_offset(chosen, offset))
    return pairs, offsets


def _offset(chosen: list[_Found], offset: int) -> Offset:
    refused, told, sign = chosen[0]
    ahead, behind = (told, refused) if sign > 0 else (refused, told)
    distances = list(map(_distance, chosen))
    names = (ahead.host or "", behind.host or "")
    return Offset(*names, len(chosen), offset, min(distances), max(distances))


def _distance(found: _Found) -> int:
    refused, told, sign = found
    return sign * ((told.time or 0) - (refused.time or 0))


def _candidates(refusing: Halves, telling: Halves, sign: int) -> list[_Found]:
    """Halves with the same ends and ICMP, not too far apart for any clocks."""
    by_flow: dict[Flow, list[Incident]] = {}
    for refused in refusing.refused:
        for flow in _flows(refused):
            by_flow.setdefault(flow, []).append(refused)
    found = {
        (refused.id, told.id): (refused, told, sign)
        for told in telling.told
        for flow in _flows(told)
        for refused in by_flow.get(flow, ())[-_PER_FLOW:]
    }
    return [one for one in found.values() if abs(_distance(one)) <= _FURTHEST_NS]


def _flows(incident: Incident) -> set[Flow]:
    """The datagram's ends, and those before a translation, with the ICMP about it."""
    what = (incident.icmp.type, incident.icmp.code)
    ends = (incident.datagram, incident.nat) if incident.nat else (incident.datagram,)
    return {(e.src, e.sport, e.dst, e.dport, *what) for e in ends}


def _plain(found: list[_Found]) -> list[int]:
    """The distances of those that can only belong together; of all, where there are none such."""
    times = Counter(one.id for refused, told, _ in found for one in (refused, told))
    plain = [_distance(one) for one in found if times[one[0].id] == times[one[1].id] == 1]
    return plain or [min(map(_distance, found), key=abs)] if found else []


def _nearest(found: list[_Found], offset: int, reach: int, used: set[str]) -> Iterator[_Found]:
    """Each half once, with what fits the offset best; ``used``: ids of those that are taken."""
    for refused, told, sign in sorted(found, key=lambda one: abs(_distance(one) - offset)):
        near = abs(_distance((refused, told, sign)) - offset) <= reach
        if near and not used & {refused.id, told.id}:
            used |= {refused.id, told.id}
            yield refused, told, sign


def _moved(time: int | None, by: int) -> int | None:
    return None if time is None else time + by


def _moved_process(process: Process, by: int) -> Process:
    return replace(process, start=_moved(process.start, by))


def _moved_set_by(made: SetBy, by: int) -> SetBy:
    kept = made.kept_by
    return replace(
        made,
        time=_moved(made.time, by),
        by=made.by and _moved_process(made.by, by),
        kept_by=kept and replace(kept, time=_moved(kept.time, by), by=_moved_process(kept.by, by)),
    )


def _moved_socket(socket: Socket, by: int) -> Socket:
    """The socket with all its times by another clock."""
    connect, bind, closed = socket.connect, socket.bind, socket.closed
    return replace(
        socket,
        processes=tuple(_moved_process(process, by) for process in socket.processes),
        connect=connect
        and replace(connect, time=_moved(connect.time, by), by=_moved_process(connect.by, by)),
        bind=bind and replace(bind, time=_moved(bind.time, by), by=_moved_process(bind.by, by)),
        closed=closed
        and replace(closed, time=_moved(closed.time, by), by=_moved_process(closed.by, by)),
        port_set_by=socket.port_set_by and _moved_set_by(socket.port_set_by, by),
    )
