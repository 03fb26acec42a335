"""What occurs within events, and is none itself."""

from __future__ import annotations

from typing import Literal

from tracer.frozen import frozen

Family = Literal["ipv4", "ipv6"]

# Values of sk_state for UDP (include/net/tcp_states.h): no other state occurs.
TCP_ESTABLISHED = 1
TCP_CLOSE = 7


@frozen
class SocketView:
    """A UDP socket as it was at one moment, read from struct sock or from a udp_diag dump.

    ``sock`` is an opaque identity of the struct sock, good within one trace and reused after a
    close; empty where the source (udp_diag, /proc) does not tell it. ``inode`` and ``cookie`` are 0
    where there is none. An unset peer is port 0 with the wildcard address; after connect(AF_UNSPEC)
    an AF_INET6 socket keeps its old peer's address with port 0, which IPv6 lookups still compare.
    ``local4`` and ``peer4`` are what an IPv4 lookup compares on an AF_INET6 socket
    (skc_rcv_saddr, skc_daddr), None on AF_INET sockets and where the source does not tell them.
    """

    sock: str
    inode: int
    cookie: int
    netns: int
    netns_cookie: int
    family: Family
    state: int
    local: str
    lport: int
    peer: str
    pport: int
    local4: str | None = None
    peer4: str | None = None
    device: int = 0
    """ifindex the socket is bound to, 0 for none."""
    v6only: bool | None = None
    addr_lock: bool | None = None
    """SOCK_BINDADDR_LOCK: bind() named the address. None: not told by the source."""
    port_lock: bool | None = None
    """SOCK_BINDPORT_LOCK: bind() named the port. None: not told by the source."""
    uid: int | None = None
    reuseport: bool | None = None
    """SO_REUSEPORT is set. None: not told by the source."""


@frozen
class Task:
    """The process that made a call. ``start_ns``: CLOCK_BOOTTIME of its start, 0 if not known."""

    pid: int
    tid: int
    comm: str
    uid: int
    start_ns: int = 0


@frozen
class Holder:
    """A process seen holding a socket: one file descriptor of it, from /proc/PID/fd."""

    pid: int
    comm: str
    fd: int
    start_ns: int = 0
    """CLOCK_BOOTTIME, nanoseconds; from /proc/PID/stat it has the resolution of a clock tick."""


@frozen
class Datagram:
    """The headers of the UDP datagram an ICMP is about, as the receiver's kernel saw them.

    ``ifindex`` is the interface the lookup compared with (dif), ``sdif`` the enslaved one below a
    VRF (0: none). ``ifname`` is empty where the route to an own address named another device than
    loopback, which the datagram runs over. ``length`` is the UDP header's, so the payload's plus 8.
    """

    family: Family
    src: str
    sport: int
    dst: str
    dport: int
    ifindex: int
    sdif: int
    ifname: str
    length: int


@frozen
class Walk:
    """The port's slot of the UDP hash table, read at the moment of the miss.

    ``visited``: nodes looked at; ``matching``: sockets among them on that port in that netns;
    ``lost``: of these, how many never reached us (ring buffer full); ``truncated``: the chain went
    on after the last node visited.
    """

    visited: int
    matching: int
    lost: int
    truncated: bool
    candidates: tuple[SocketView, ...]
    chain: int = 0
    """The slot's own count of its sockets, of every port and netns that share it."""
    skipped: bool = False
    """None of its nodes was visited, which ``truncated`` says as well: the kernel's budget of walks
    (bpf/walk.c) was used up."""


@frozen
class ReceivedIcmp:
    """An ICMP that came in: who sent it, and what it said."""

    sender: str
    type: int
    code: int


@frozen
class FourTuple:
    """The ends of a datagram."""

    src: str
    sport: int
    dst: str
    dport: int
