"""Cause and the two ends, put into words: why the datagram was not taken, and what to do."""

from __future__ import annotations

from tracer.addresses import endpoint, is_loopback
from tracer.causes import Cause
from tracer.describe import forget_flows, label, netns_words
from tracer.incident import Incident, Socket
from tracer.match import Mismatch
from tracer.timefmt import duration_text

# Not a refusal: the next link on the way takes smaller datagrams only.
_TOO_BIG = ("fragmentation-needed", "packet-too-big")

_NETCATS = ("nc", "ncat", "netcat", "nc.openbsd", "nc.traditional")


def explain(incident: Incident) -> str:
    """Why the datagram was not taken, in one sentence about the socket named (or its absence)."""
    cause, socket = incident.cause, incident.socket
    if cause is Cause.REJECTED:
        return f"no lookup missed: {_sender_of_icmp(incident)}"
    if cause is Cause.REMOTE:
        return _refused_elsewhere(incident)
    if socket is None:
        where = netns_words(incident.netns.name, incident.netns.inum)
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
        clauses.append(f"{_tied(socket)} to {check.socket}; this was for {check.datagram}")
    if Cause.REMOTE_ADDRESS in fields or Cause.REMOTE_PORT in fields:
        clauses.append(_other_peer(incident, fields))
    if Cause.DEVICE in fields:
        clauses.append(_other_device(fields[Cause.DEVICE]))
    return clauses


def _tied(socket: Socket) -> str:
    """How a socket came to its local address."""
    if _tied_by_connect(socket):
        return "tied by connect()"
    known = socket.state == "UNCONN" or socket.connect is not None or socket.address_bound
    return "bound" if known else "bound, or tied by connect(),"


def _tied_by_connect(socket: Socket) -> bool:
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


def advise(incident: Incident) -> tuple[str, ...]:
    """What to do about it, one remedy a line, the likeliest first."""
    cause, socket = incident.cause, incident.socket
    if incident.icmp.name in _TOO_BIG:
        return (_send_less(incident),)
    if cause is Cause.REJECTED:
        return (_ask_the_filter(incident),)
    if cause is Cause.REMOTE:
        return (_look_elsewhere(incident),)
    if socket is None:
        return (_nothing_there(incident), *_translated_still(incident))
    if cause is Cause.CLOSED:
        return (_reopen(socket), *_translated_still(incident), *_remedies(incident, socket))
    if cause is Cause.CONNECT_RACE:
        return (
            "connect() takes a socket out of the lookup for a moment on kernels without the fix "
            "for CVE-2024-57974: upgrade, or have the sender repeat the datagram",
        )
    if cause is Cause.RACE:
        return ("the socket came too late for this datagram: have the sender repeat it",)
    return _remedies(incident, socket)


def _remedies(incident: Incident, socket: Socket) -> tuple[str, ...]:
    """What would make the socket take such datagrams, for each kind of check that failed."""
    fields = {check.field: check for check in incident.mismatch}
    remedies = []
    if Cause.IPV6_ONLY in fields:
        remedies.append(
            "clear IPV6_V6ONLY before bind() (its default is net.ipv6.bindv6only), or open an "
            "IPv4 socket beside it"
        )
    if Cause.LOCAL_ADDRESS in fields:
        remedies.append(_use_the_address_asked(incident, socket, fields[Cause.LOCAL_ADDRESS]))
    if Cause.REMOTE_ADDRESS in fields or Cause.REMOTE_PORT in fields:
        remedies.append(_answer_as_asked(incident, socket, fields))
    if Cause.DEVICE in fields:
        remedies.append(_use_the_device(fields[Cause.DEVICE]))
    return tuple(remedies)


def _use_the_address_asked(incident: Incident, socket: Socket, check: Mismatch) -> str:
    if _tied_by_connect(socket):
        before = socket.connect.before.local if socket.connect else "it"
        return (
            f"its connect() tied {before} to {check.socket}: bind the address the "
            f"clients use, {check.datagram}{_netcat(socket, check.datagram)}, or do not connect(): "
            f"answer with sendmsg() and {_pktinfo(incident)}"
        )
    if is_loopback(check.socket):
        return (
            f"it takes local traffic only: bind {check.datagram} or the wildcard to be reached "
            "from elsewhere"
        )
    return f"send to {check.socket}, or bind {check.datagram} or the wildcard"


def _answer_as_asked(incident: Incident, socket: Socket, fields: dict[Cause, Mismatch]) -> str:
    address, port = fields.get(Cause.REMOTE_ADDRESS), fields.get(Cause.REMOTE_PORT)
    if address and not port:
        return _before_nat(incident, address) or _answer_from(incident, address)
    if socket.port_origin == "kernel-chosen":
        # A client: it asked one peer, and hears another.
        came, asked = endpoint(incident.datagram.src, incident.datagram.sport), socket.peer
        return (
            f"{asked} was asked and {came} answers: have the peer answer from the socket that was "
            "asked, or leave this one unconnected; it may be a late answer to an earlier socket"
        )
    return (
        f"connected, it serves {socket.peer} alone, and a client that starts again comes from "
        "another port: leave it unconnected (recvfrom(), sendto()) or give each peer a socket"
    )


def _before_nat(incident: Incident, check: Mismatch) -> str:
    """A socket that is connected to the sender's own address, which does not arrive."""
    nat, d = incident.nat, incident.datagram
    if nat is None or nat.direction == "reply" or nat.src != check.socket:
        return ""
    where = netns_words(nat.netns.name, nat.netns.inum)
    return (
        f"{where} translates {endpoint(nat.src, nat.sport)} to {endpoint(d.src, d.sport)}: leave "
        "the socket unconnected, connect() it to what arrives, or exempt these from masquerading"
    )


def _answer_from(incident: Incident, check: Mismatch) -> str:
    """The reply of a host with several addresses left from another one than was asked."""
    origin = incident.origin
    why = ""
    if origin is not None and _tied_by_connect(origin):
        why = f" (the sender's connect() let the route choose {check.datagram})"
    netcat = _netcat(origin, check.socket) if origin is not None else ""
    return (
        f"the answer came from {check.datagram}, but {check.socket} was asked{why}: bind the "
        f"answering socket to {check.socket}{netcat}, or answer with sendmsg() and "
        f"{_pktinfo(incident)}"
    )


def _pktinfo(incident: Incident) -> str:
    """The ancillary data that names the source of an answer: ip(7), ipv6(7)."""
    return "IP_PKTINFO" if incident.datagram.family == "ipv4" else "IPV6_PKTINFO"


def _netcat(socket: Socket, address: str) -> str:
    """The option, where the program is known."""
    netcat = any(process.comm in _NETCATS for process in socket.processes)
    return f" (nc -s {address})" if netcat else ""


def _use_the_device(check: Mismatch) -> str:
    if check.socket == "unbound":
        return "bind it to the VRF (ip vrf exec), or set net.ipv4.udp_l3mdev_accept=1"
    return (
        f"bind it to {check.datagram} or to no interface (SO_BINDTODEVICE), or have the traffic "
        f"come by {check.socket}"
    )


def _reopen(socket: Socket) -> str:
    told = socket.closed.told if socket.closed else None
    if told:
        return (
            f"it was closed after it was told {told}: mend what caused that, an incident of its "
            "own, and let the program go on after an error that is about one datagram"
        )
    if socket.port_origin == "kernel-chosen":
        return (
            "the answer came too late: its asker waits too little, or the answerer takes too long"
        )
    return f"start {label(socket.processes)} again, or see why it closed the socket"


def _translated_still(incident: Incident) -> tuple[str, ...]:
    """A flow keeps the destination that its first packet was translated to."""
    nat, d = incident.nat, incident.datagram
    if nat is None or nat.direction == "reply" or (nat.dst, nat.dport) == (d.dst, d.dport):
        return ()
    return (
        f"conntrack goes on translating {endpoint(nat.dst, nat.dport)} to "
        f"{endpoint(d.dst, d.dport)} for this flow, whatever the rules say by now: if the service "
        f"has moved, {forget_flows(nat.netns, d.family, nat.dst, nat.dport)}",
    )


def _nothing_there(incident: Incident) -> str:
    port, netns = incident.datagram.dport, incident.netns
    enter = f"ip netns exec {netns.name} " if netns.name and netns.name != "host" else ""
    return (
        f"start the service in {netns_words(netns.name, netns.inum)}, or send to where it is: "
        f"{enter}ss -uanp 'sport = :{port}' shows who holds the port (UDP has no listening state, "
        "so ask with -a, not -l)"
    )


def _send_less(incident: Incident) -> str:
    length, asked = incident.datagram.length, incident.datagram.dst
    return (
        f"path MTU discovery at work; when {length} bytes never get through to {asked}, send less "
        "at a time, or let the kernel fragment (IP_MTU_DISCOVER)"
    )


def _look_elsewhere(incident: Incident) -> str:
    sender, asked = incident.icmp.sender, incident.datagram.dst
    if sender == asked:
        return f"run udptrace on {sender}: only there is seen which socket refused the datagram"
    return (
        f"look at {sender}, a router or firewall on the way to {asked}: its routes and its reject "
        "rules; udptrace there names the kernel function that sent the ICMP"
    )


def _ask_the_filter(incident: Incident) -> str:
    where = netns_words(incident.netns.name, incident.netns.inum)
    caller = incident.lookup.caller or ""
    if caller.startswith("nft_reject"):
        return f"find the reject rule in {where}: nft list ruleset"
    if caller.startswith("reject_tg"):
        return f"find the REJECT rule in {where}: iptables-save"
    return (
        f"look for a reject rule in {where} (nft list ruleset, iptables-save), then at its routes"
    )
