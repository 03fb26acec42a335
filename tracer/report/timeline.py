"""What happened around an incident, in the order of time: calls, misses, errors, closes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tracer.causes import Cause
from tracer.incident import Incident
from tracer.parts import KeptBy, Process, SetBy, Socket

Side = Literal["receiver", "sender"]
What = Literal[
    "bind", "autobind", "connect", "disconnect", "datagram", "repeat", "icmp", "error", "close"
]

_ORDER: tuple[What, ...] = (
    "bind", "autobind", "connect", "disconnect", "datagram", "repeat", "icmp", "error", "close",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened, to the socket that refused or to the one that sent.

    ``time``: UTC nanoseconds. ``by``: the process that did it. ``detail``: what a call asked for,
    the error told, how often it has missed by then.
    """

    time: int
    side: Side
    what: What
    by: Process | None = None
    detail: str | None = None


def timeline(incident: Incident) -> list[Moment]:
    """All that the incident holds of its history, oldest first; what has no time is left out."""
    moments = set(_misses(incident))
    if incident.socket is not None:
        moments.update(_of_socket(incident.socket, "receiver"))
        for made in incident.set_by:
            moments.update(_set_by(made, "receiver"))
    if incident.origin is not None:
        moments.update(_of_socket(incident.origin, "sender"))
    return sorted(moments, key=lambda m: (m.time, _ORDER.index(m.what), m.side, m.detail or ""))


def _misses(incident: Incident) -> Iterator[Moment]:
    """The datagram, its ICMP, its repeats, and who was told."""
    if incident.time is None:
        return
    if incident.cause is not Cause.REMOTE:
        yield Moment(incident.time, "receiver", "datagram")
    if incident.icmp.status in ("sent", "received"):
        yield Moment(incident.time, "receiver", "icmp", detail=incident.icmp.name)
    if incident.count > 1 and incident.last_time is not None:
        yield Moment(incident.last_time, "receiver", "repeat", detail=str(incident.count))
    for told in incident.told:
        if told.time is not None:
            by = told.socket.processes[0] if told.socket.processes else None
            yield Moment(told.time, "sender", "error", by, told.error)


def _of_socket(socket: Socket, side: Side) -> Iterator[Moment]:
    """What is known of a socket's life."""
    bind, connect, closed = socket.bind, socket.connect, socket.closed
    if bind is not None and bind.time is not None:
        what: What = "autobind" if bind.automatic else "bind"
        yield Moment(bind.time, side, what, bind.by, _asked(socket))
    if connect is not None and connect.time is not None:
        yield Moment(connect.time, side, "connect", connect.by, connect.requested)
    if closed is not None and closed.time is not None:
        yield Moment(closed.time, side, "close", closed.by)
    if socket.port_set_by is not None:
        yield from _set_by(socket.port_set_by, side)


def _asked(socket: Socket) -> str | None:
    """What the call that gave the port asked for; the same words as where that call is told."""
    made = socket.port_set_by
    return made.requested if made is not None and made.call in ("bind", "autobind") else None


def _set_by(made: SetBy, side: Side) -> Iterator[Moment]:
    """The call that set a value, and the one that kept it."""
    calls: tuple[SetBy | KeptBy | None, ...] = (made, made.kept_by)
    for call in calls:
        if call is not None and call.call is not None and call.time is not None:
            yield Moment(call.time, side, call.call, call.by, call.requested)
