"""What to do about an incident, by its cause and by what the two ends are: never the same for all.

A remedy names the addresses, the processes and the commands, with the reason in the same line.
"""

from __future__ import annotations

from shlex import quote

from tracer.addresses import ANY4, ANY6, endpoint, is_loopback
from tracer.advice import tied_by_connect
from tracer.causes import Cause
from tracer.describe import enter, forget_flows, label, netns_words
from tracer.incident import Incident
from tracer.match import Mismatch
from tracer.parts import SetBy, Socket

_NETCATS = ("nc", "ncat", "netcat", "nc.openbsd", "nc.traditional")

# Its server answers a request from a port of its own (RFC 1350).
_TFTP = 69

# Not a refusal: the next link on the way takes smaller datagrams only.
_TOO_BIG = ("fragmentation-needed", "packet-too-big")

# Who sends the ICMP when ARP or neighbour discovery has found nobody (net/ipv4/route.c,
# net/ipv6/route.c), and when there is no route for a datagram that came in to be passed on.
_NO_NEIGHBOUR = ("ipv4_link_failure", "ipv4_send_dest_unreach", "ip6_link_failure")
_NO_ROUTE = ("ip_error", "ip6_pkt_")

Checks = dict[Cause, Mismatch]


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
            "connect() takes a socket out of the lookup for a moment: without the fix for "
            "CVE-2024-57974 at every call, with it only when it undoes an earlier one "
            "(AF_UNSPEC): upgrade the kernel, or have the sender repeat the datagram",
        )
    if cause is Cause.RACE and incident.lookup.passes == 1:
        where = _where(incident)
        return (f"see which BPF sk_lookup programs are attached to {where}: bpftool link list",)
    if cause is Cause.RACE:
        return ("the socket came too late for this datagram: have the sender repeat it",)
    return _remedies(incident, socket)


def _remedies(incident: Incident, socket: Socket) -> tuple[str, ...]:
    """What would make the socket take such datagrams, for each kind of check that failed."""
    checks = {check.field: check for check in incident.mismatch}
    remedies = []
    if Cause.IPV6_ONLY in checks:
        remedies.append(_take_ipv4(incident, socket))
    elif Cause.LOCAL_ADDRESS in checks:
        remedies.append(_use_the_address_asked(incident, socket, checks[Cause.LOCAL_ADDRESS]))
    if Cause.REMOTE_ADDRESS in checks or Cause.REMOTE_PORT in checks:
        remedies.append(_other_peer(incident, socket, checks))
    if Cause.DEVICE in checks:
        remedies.append(_use_the_device(incident, socket, checks[Cause.DEVICE]))
    return tuple(remedies)


def _sender(incident: Incident) -> str:
    """Who sent the datagram, in a sentence."""
    origin = incident.origin
    return label(origin.processes) if origin is not None and origin.processes else "the sender"


# The local address, and IPv6 only


def _use_the_address_asked(incident: Incident, socket: Socket, check: Mismatch) -> str:
    made = incident.made(Cause.LOCAL_ADDRESS)
    if made is not None and made.source == "route":
        return _untie(incident, socket, check, made)
    if is_loopback(check.socket) and not is_loopback(check.datagram):
        return (
            f"bound to {check.socket}, it takes local traffic only: bind {check.datagram} or "
            f"{_wildcard(socket)} to be reached from elsewhere{_netcat(socket, check.datagram)}"
        )
    return (
        f"have {_sender(incident)} send to {check.socket}, or bind {check.datagram} or "
        f"{_wildcard(socket)} instead{_netcat(socket, check.datagram)}"
    )


def _untie(incident: Incident, socket: Socket, check: Mismatch, made: SetBy) -> str:
    """connect() let the route choose the local address, and the datagram is for another one."""
    held, asked = check.socket, check.datagram
    if made.kept_by is not None:
        return (
            f"the route chose {held} at an earlier connect(), and a later one keeps what is there: "
            f"connect(AF_UNSPEC) in between, a new socket, or bind {asked} first"
        )
    if socket.port_origin == "kernel-chosen":
        return (
            f"its connect() tied it to {held}, the source of all it sends: have "
            f"{_sender(incident)} send to {held}, or bind {asked} before connect()"
            f"{_netcat(socket, asked)}"
        )
    before = socket.connect.before.local if socket.connect else "it"
    return (
        f"its connect() tied {before} to {held}: bind the address the clients use, "
        f"{asked}{_netcat(socket, asked)}, or do not connect(): answer with sendmsg() and "
        f"{_pktinfo(incident)}"
    )


def _take_ipv4(incident: Incident, socket: Socket) -> str:
    asked = endpoint(incident.datagram.dst, incident.datagram.dport)
    made = incident.made(Cause.IPV6_ONLY)
    if made is not None and made.call == "bind":
        return (
            f"bound to one IPv6 address it takes no IPv4: send to {socket.local}, or open an IPv4 "
            f"socket on {asked} beside it"
        )
    return (
        "clear IPV6_V6ONLY before bind() (its default is net.ipv6.bindv6only), or open an IPv4 "
        f"socket on {asked} beside it"
    )


def _wildcard(socket: Socket) -> str:
    return ANY4 if socket.family == "ipv4" else ANY6


# The peer


def _other_peer(incident: Incident, socket: Socket, checks: Checks) -> str:
    address, port = checks.get(Cause.REMOTE_ADDRESS), checks.get(Cause.REMOTE_PORT)
    if socket.peer is None and address:
        return (
            f"connect(AF_UNSPEC) leaves the peer's address, {address.socket}, in an IPv6 socket, "
            "and lookups go on comparing it: open a new socket instead"
        )
    before_nat = _before_nat(incident, address) if address and not port else ""
    if before_nat:
        return before_nat
    if address and not port and socket.port_origin == "kernel-chosen":
        return _answer_from(incident, address)
    if address and not port and _has_two_addresses(incident):
        return _from_another_address(incident, socket, address)
    if socket.port_origin is None:
        return _its_peer_alone(incident, socket)
    if socket.port_origin == "kernel-chosen":
        return _answered_by_another(incident, socket)
    return _serves_one(incident, socket, only_port=address is None)


def _before_nat(incident: Incident, check: Mismatch) -> str:
    """A socket that is connected to the sender's own address, which does not arrive."""
    nat, d = incident.nat, incident.datagram
    if nat is None or nat.direction == "reply" or nat.src != check.socket:
        return ""
    where = netns_words(nat.netns)
    return (
        f"{where} translates {endpoint(nat.src, nat.sport)} to {endpoint(d.src, d.sport)}: leave "
        "the socket unconnected, connect() it to what arrives, or exempt these from masquerading"
    )


def _has_two_addresses(incident: Incident) -> bool:
    """Whether the sender may be the very peer that is heard, by another of its addresses."""
    origin = incident.origin
    return incident.sender_holds_peer or (origin is not None and tied_by_connect(origin))


def _answer_from(incident: Incident, check: Mismatch) -> str:
    """The reply of a host with several addresses left from another one than was asked: a client,
    whose port the kernel chose, hears from a stranger."""
    return (
        f"the answer came from {check.datagram}, but {check.socket} was asked"
        f"{_why_from(incident, check)}: {_bind_the_answerer(incident, check)}"
    )


def _from_another_address(incident: Incident, socket: Socket, check: Mismatch) -> str:
    """The socket's port is not known to be the kernel's choice: it may serve, or have asked."""
    origin, why = incident.origin, _why_from(incident, check)
    if origin is not None and origin.port_origin == "kernel-chosen":
        return (
            f"connected, it serves {socket.peer} alone, and {_sender(incident)} sends from "
            f"{check.datagram} now{why}: have that bind {check.socket}, leave the server "
            "unconnected (recvfrom(), sendto()) or give each peer a socket"
        )
    return (
        f"this came from {check.datagram}, and only {check.socket} is heard{why}: if it is an "
        f"answer, {_bind_the_answerer(incident, check)}; if it is a request, leave the socket it "
        "is for unconnected"
    )


def _why_from(incident: Incident, check: Mismatch) -> str:
    """Why the sender sends from the address that it does, where that is known."""
    origin = incident.origin
    if origin is not None and tied_by_connect(origin):
        return f" (the sender's connect() let the route choose {check.datagram})"
    if origin is not None and origin.address_bound:
        return f" (the sender is bound to {check.datagram})"
    if incident.sender_holds_peer:
        return f" (the sender is bound to no address: the route chose {check.datagram})"
    return ""


def _bind_the_answerer(incident: Incident, check: Mismatch) -> str:
    netcat = _netcat(incident.origin, check.socket) if incident.origin is not None else ""
    return (
        f"bind the answering socket to {check.socket}{netcat}, or answer with sendmsg() and "
        f"{_pktinfo(incident)}"
    )


def _answered_by_another(incident: Incident, socket: Socket) -> str:
    """A client: it asked one peer, and hears another socket."""
    came, asked = endpoint(incident.datagram.src, incident.datagram.sport), socket.peer
    origin = incident.origin
    who = f"{label(origin.processes)} answers from {came}" if origin else f"{came} answers"
    if asked is not None and asked.endswith(f":{_TFTP}"):
        return (
            f"{asked} was asked and {who}, as TFTP does: leave the asking socket unconnected until "
            "the answer tells the port to go on with"
        )
    return (
        f"{asked} was asked and {who}: have the peer answer from the socket that was asked, or "
        "leave this one unconnected; it may be a late answer to an earlier socket"
    )


def _its_peer_alone(incident: Incident, socket: Socket) -> str:
    """Server or client: where its port came from would tell, and is not known."""
    return (
        f"connected, it takes datagrams from {socket.peer} alone: have {_sender(incident)} send "
        "from there; a server is to be left unconnected (recvfrom(), sendto()), or gives each peer "
        "a socket"
    )


def _serves_one(incident: Incident, socket: Socket, *, only_port: bool) -> str:
    """A server that called connect() hears one client."""
    why = (
        "a client that starts again, or whose NAT forgot it, comes from another port"
        if only_port
        else f"{_sender(incident)} is another client"
    )
    return (
        f"connected, it serves {socket.peer} alone, and {why}: leave it unconnected (recvfrom(), "
        "sendto()) or give each peer a socket"
    )


def _pktinfo(incident: Incident) -> str:
    """The ancillary data that names the source of an answer: ip(7), ipv6(7)."""
    return "IP_PKTINFO" if incident.datagram.family == "ipv4" else "IPV6_PKTINFO"


def _netcat(socket: Socket, address: str) -> str:
    """The option, where the program is known."""
    netcat = any(process.comm in _NETCATS for process in socket.processes)
    return f" (nc -s {quote(address)})" if netcat else ""


# The interface


def _use_the_device(incident: Incident, socket: Socket, check: Mismatch) -> str:
    made, device = incident.made(Cause.DEVICE), check.datagram
    call = made.call if made is not None else None
    if check.socket == "unbound" and made is not None and call == "disconnect":
        return (
            f"its connect(AF_UNSPEC) unbound it from {made.before}: bind it to {device} again "
            "afterwards (SO_BINDTODEVICE)"
        )
    if check.socket == "unbound":
        return (
            f"{device} is a VRF, which a socket bound to no interface does not hear: bind it "
            f"to {device} (SO_BINDTODEVICE, or start it with ip vrf exec {quote(device)}), or set "
            f"net.ipv4.udp_l3mdev_accept=1 in {_where(incident)}"
        )
    if call in ("connect", "bind"):
        return (
            f"the scope of the link-local address in its {call}() bound it to {check.socket}: "
            f"use another socket for what comes by {device}"
        )
    return (
        f"bind it to {device} or to no interface (SO_BINDTODEVICE)"
        f"{_by_its_interface(incident, check.socket)}"
    )


def _by_its_interface(incident: Incident, held: str) -> str:
    """The other way round; interfaces are those of a namespace, and loopback leaves none."""
    origin = incident.origin
    if origin is not None and origin.netns == incident.netns:
        return f", or have {_sender(incident)} send by {held}"
    return "" if held == "lo" else f", or have it come in by {held}: the routes on its way decide"


# No socket


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
    if incident.candidates and incident.datagram.family == "ipv6":
        return (
            f"only IPv4 is listened to on port {port}: bind [::]:{port}, which takes both "
            "without IPV6_V6ONLY, or send to an IPv4 address"
        )
    return (
        f"start the service in {netns_words(netns)}, or send to where it is: "
        f"{_enter(incident)}ss -uanp 'sport = :{port}' shows who holds the port (UDP has no "
        "listening state, so ask with -a, not -l)"
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
    """The command that lists the rules of the very subsystem that sent the ICMP."""
    where, enter, hooks = _where(incident), _enter(incident), _hooks(incident)
    caller, dst = incident.lookup.caller or "", incident.datagram.dst
    if caller.startswith(_NO_NEIGHBOUR):
        return (
            f"nobody answers for {dst} on its link: look whether it is up, then at {enter}ip neigh "
            f"and {enter}ip route get {quote(dst)}"
        )
    if caller.startswith(_NO_ROUTE):
        return (
            f"{where} has no route to {dst}, or one that refuses: "
            f"{enter}ip route get {quote(dst)} says what there is"
        )
    if caller.startswith("nft_reject"):
        family = _NFT_FAMILIES.get(caller.removeprefix("nft_reject_").partition("_")[0], "")
        return (
            f"find the reject rule in {where}: {enter}nft list ruleset{family}, chains with hook "
            f"{' or '.join(hooks)}"
        )
    if caller.startswith("reject_tg"):
        save = "ip6tables-save" if incident.datagram.family == "ipv6" else "iptables-save"
        chains = " or ".join(hook.upper() for hook in hooks)
        return f"find the REJECT rule in {where}: {enter}{save}, chain {chains} and those it calls"
    return (
        f"look for a reject rule in {where} ({enter}nft list ruleset, {enter}iptables-save), then "
        "at its routes"
    )


# By the middle of nft_reject_ipv4_eval and its kin (net/ipv4/netfilter/nft_reject_ipv4.c, ...).
_NFT_FAMILIES = {"ipv4": " ip", "ipv6": " ip6", "inet": " inet", "netdev": " netdev"}


def _hooks(incident: Incident) -> tuple[str, ...]:
    """Where in its netns a datagram can have been rejected, the likeliest first."""
    origin = incident.origin
    if origin is None:
        return ("input", "forward")
    if origin.netns == incident.netns:
        return ("output", "input")
    return ("input", "forward")


def _where(incident: Incident) -> str:
    return netns_words(incident.netns)


def _enter(incident: Incident) -> str:
    """What to put before a command so that it looks at the incident's netns."""
    return enter(incident.netns) or ""
