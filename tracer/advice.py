"""Cause and socket, put into words: why the datagram was not taken."""

from __future__ import annotations

from tracer.causes import Cause
from tracer.describe import label, netns_words
from tracer.incident import Incident
from tracer.match import Mismatch
from tracer.parts import Socket
from tracer.timefmt import duration_text


def explain(incident: Incident) -> str:
    """Why the datagram was not taken, in one sentence about the socket named (or its absence)."""
    cause, socket = incident.cause, incident.socket
    if cause is Cause.REJECTED:
        return f"no lookup missed: {_sender_of_icmp(incident)}"
    if cause is Cause.REMOTE:
        return _refused_elsewhere(incident)
    if socket is None:
        where = netns_words(incident.netns)
        return f"nothing holds UDP port {incident.datagram.dport} in {where}"
    if cause is Cause.CLOSED:
        return _closed(incident, socket)
    if cause is Cause.CONNECT_RACE:
        return "takes such datagrams, but its connect() was under way at that moment"
    if cause is Cause.RACE:
        return "takes it, yet the lookup just before did not find it"
    return "; ".join(_refusals(incident, socket))


def _refused_elsewhere(incident: Incident) -> str:
    icmp = incident.icmp
    what = icmp.name or f"type {icmp.type} code {icmp.code}"
    router = ", not the destination itself," if icmp.sender != incident.datagram.dst else ""
    return f"no lookup missed here: {icmp.sender}{router} sent the ICMP ({what})"


def _sender_of_icmp(incident: Incident) -> str:
    icmp = incident.icmp
    what = icmp.name or f"type {icmp.type} code {icmp.code}"
    by = incident.lookup.caller
    return f"{by} sent the ICMP ({what})" if by else f"another caller sent the ICMP ({what})"


def _closed(incident: Incident, socket: Socket) -> str:
    closed = socket.closed
    if closed is None or closed.time is None or incident.time is None:
        return "was closed before"
    before = duration_text(incident.time - closed.time)
    after = f", after it was told {closed.told}" if closed.told else ""
    return f"closed {before} before, by {label([closed.by])}{after}"


def _refusals(incident: Incident, socket: Socket) -> list[str]:
    """One clause for each kind of check that failed, the peer's address and port together."""
    fields = {check.field: check for check in incident.mismatch}
    clauses = []
    if Cause.IPV6_ONLY in fields:
        clauses.append("takes IPv6 only (IPV6_V6ONLY); this is IPv4")
    if Cause.LOCAL_ADDRESS in fields:
        check = fields[Cause.LOCAL_ADDRESS]
        clauses.append(
            f"{_tied(incident, socket)} to {check.socket}; this was for {check.datagram}"
        )
    if Cause.REMOTE_ADDRESS in fields or Cause.REMOTE_PORT in fields:
        clauses.append(_other_peer(incident, fields))
    if Cause.DEVICE in fields:
        clauses.append(_other_device(fields[Cause.DEVICE]))
    return clauses


def _tied(incident: Incident, socket: Socket) -> str:
    """How a socket came to its local address."""
    made = incident.made(Cause.LOCAL_ADDRESS)
    if made is not None and made.source == "route":
        return "tied by connect()"
    known = socket.state == "UNCONN" or socket.connect is not None or socket.address_bound
    return "bound" if known else "bound, or tied by connect(),"


def tied_by_connect(socket: Socket) -> bool:
    """Whether connect() took the address from the route, recorded or not: no bind() named it."""
    if socket.connect is not None:
        return socket.connect.source == "route"
    return socket.state == "ESTAB" and socket.address_bound is False


def _other_peer(incident: Incident, fields: dict[Cause, Mismatch]) -> str:
    address, port = fields.get(Cause.REMOTE_ADDRESS), fields.get(Cause.REMOTE_PORT)
    if address and port:
        ours, theirs = (
            f"{address.socket} port {port.socket}",
            f"{address.datagram} port {port.datagram}",
        )
        return f"takes datagrams from {ours} only; this came from {theirs}"
    if address:
        return f"takes datagrams from {address.socket} only; this came from {address.datagram}"
    if port:
        source = incident.datagram.src
        wanted = f"takes datagrams from port {port.socket} of {source} only"
        return f"{wanted}; this came from port {port.datagram}"
    return ""


def _other_device(check: Mismatch) -> str:
    if check.socket == "unbound":
        return f"bound to no interface; this came by {check.datagram}, inside a VRF"
    return f"bound to {check.socket}; this came by {check.datagram}"
