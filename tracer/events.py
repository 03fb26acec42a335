"""The event types: what the kernel and the system said, frozen, without I/O or conclusions.

Times are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns) unless a name says otherwise. Addresses
are canonical text (inet_ntop); ports are host order; a netns is its inode number, with the kernel's
net_cookie beside it (0 where the kernel has none) because inode numbers are reused.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from tracer.containers import Container
from tracer.frozen import frozen

Family = Literal["ipv4", "ipv6"]
Fate = Literal["sent", "rate-limited"]

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
class Header:
    """First event of a trace: where it comes from, and how its times become UTC."""

    kind: ClassVar[str] = "header"
    time: int
    format: int
    """Version of the recording format."""
    tool: str
    version: str
    host: str
    boot_id: str
    kernel: str
    machine: str
    argv: tuple[str, ...]
    targets: tuple[int, ...]
    """Inode numbers of the network namespaces asked for; empty for all of them."""
    target_names: tuple[str, ...]
    """The same targets as the user wrote them."""
    probes: tuple[str, ...]
    """Probe names attached and proven."""
    missing: tuple[tuple[str, str], ...]
    """Optional probes not attached: (name, reason)."""
    realtime_ns: int
    """CLOCK_REALTIME at ``time``."""
    boottime_ns: int
    """CLOCK_BOOTTIME at ``time``."""
    unproven: tuple[str, ...] = ()
    """Probe names attached that no self-test can make fire."""
    closed_window_ns: int = 60_000_000_000
    """--closed-window of the live trace: a replay shows the same unless told otherwise."""
    settle_ns: int = 200_000_000
    """--settle of the live trace: how long a miss was held for what belongs to it."""
    count: int | None = None
    """--count of the live trace: it showed no more incidents than these."""
    selection: tuple[tuple[str, str], ...] = ()
    """Its filters, as (kind, word) pairs: tracer.select."""
    following: tuple[str, ...] = ()
    """What -c asked for: `TargetChange` events tell where that is, at first and later."""
    part: int = 0
    """Which file of a trace that was recorded in several, from 0."""
    carried: bool = False
    """What was known before this file follows, up to the event `Carried`."""


@frozen
class Clock:
    """A clock anchor: three clocks read together, so that a stepped wall clock shows."""

    kind: ClassVar[str] = "clock"
    time: int
    realtime_ns: int
    boottime_ns: int


@frozen
class Call:
    """A call that set a socket's four-tuple: connect(), bind(), an autobind or a disconnect, at its
    return.

    ``before`` is the socket at the function's entry (for a connect, autobind has happened by then),
    ``after`` at its return. ``error`` is an errno, 0 for success. ``requested`` is what user space
    asked for; None for an autobind and a disconnect, which connect(AF_UNSPEC) and `ss -K` do.
    """

    kind: ClassVar[str] = "call"
    time: int
    op: Literal["connect", "bind", "autobind", "disconnect"]
    entered: int
    task: Task
    requested: tuple[str, int] | None
    before: SocketView
    after: SocketView
    error: int
    within: Literal["connect"] | None = None
    """An autobind or a disconnect that connect() made. None: it did not, or, where the header does
    not name inet_dgram_connect as proven, that is not told."""


# Of include/uapi/asm-generic/errno*.h.
_EAGAIN, _EADDRINUSE = 11, 98


def found_no_port(call: Call) -> bool:
    """Whether the kernel was to choose a port and found none free."""
    if call.op == "autobind":
        return call.error == _EAGAIN
    to_port_0 = call.op == "bind" and call.requested is not None and not call.requested[1]
    return to_port_0 and call.error == _EADDRINUSE


@frozen
class Created:
    """A UDP socket was made: it has no port yet, and mostly no cookie."""

    kind: ClassVar[str] = "created"
    time: int
    task: Task
    socket: SocketView


@frozen
class Close:
    """A UDP socket is being closed: its last four-tuple, and who closed it."""

    kind: ClassVar[str] = "close"
    time: int
    task: Task
    socket: SocketView


@frozen
class ReceivedIcmp:
    """An ICMP that came in: who sent it, and what it said."""

    sender: str
    type: int
    code: int


@frozen
class SockError:
    """An error was queued on a socket (sk_error_report): told, which need not be read.

    ``errno``: what the ICMP stands for where a reader was quicker than the probe. ``icmp``: the
    ICMP it came from; None when it came from none, or that was not seen.
    """

    kind: ClassVar[str] = "error"
    time: int
    socket: SocketView
    errno: int
    icmp: ReceivedIcmp | None = None


@frozen
class IcmpReceived:
    """An unreachable came in about a datagram sent from ``netns`` (net/ipv4/udp.c:udp_err).

    ``datagram`` is the one quoted, whose interface is the ICMP's. Not told of what came over
    loopback, which its own netns sent. ``total``: as in `Miss`.
    """

    kind: ClassVar[str] = "received"
    time: int
    datagram: Datagram
    netns: int
    netns_cookie: int
    icmp: ReceivedIcmp
    since: int
    total: int
    packet: str | None = None
    """As in `Miss`: of what the ICMP quotes."""


@frozen
class Miss:
    """An ICMP unreachable about a UDP datagram, at the entry of the function that sends it.

    ``proven``: the skb itself shows that UDP's receive path, finding no socket, sent it; else
    another caller did (netfilter REJECT, ...). ``passes``: lookups seen missing for this very
    datagram on this CPU, None when the lookup probe is off. ``total``: how often this key
    (netns, four-tuple, ICMP, interface) has missed since ``since``, this one included; repeats are
    counted in the kernel and only some are streamed. ``walk`` is None when none was done.
    ``caller``: the kernel function that asked for the ICMP, a hint; None when not known.
    """

    kind: ClassVar[str] = "miss"
    time: int
    datagram: Datagram
    netns: int
    netns_cookie: int
    icmp_type: int
    icmp_code: int
    proven: bool
    passes: int | None
    caller: str | None
    since: int
    total: int
    walk: Walk | None
    l3mdev_accept: bool = False
    """net.ipv4.udp_l3mdev_accept in ``netns``: unbound sockets take what came in below a VRF."""
    packet: str | None = None
    """The datagram's first bytes from its IP header on, in hex: --snaplen. None: not kept."""


def falls_short(miss: Miss) -> bool:
    """Whether a walk was made and did not show every socket on the port."""
    return miss.walk is not None and (miss.walk.truncated or miss.walk.lost > 0)


@frozen
class PortDump:
    """The sockets on a port, read because the walk at a miss fell short of showing them all.

    ``time`` is when the reading ended, ``miss`` the Miss's time. ``total``: how many sockets of
    either family were found there; ``sockets``: the nearest to the datagram by the matcher's
    ranking, without those the walk shows. ``incomplete``: why ``total`` is not all of them, None
    where it is.
    """

    kind: ClassVar[str] = "port"
    time: int
    began: int
    miss: int
    netns: int
    netns_cookie: int
    port: int
    total: int
    sockets: tuple[SocketView, ...]
    incomplete: str | None


@frozen
class IcmpFate:
    """What became of a miss's ICMP: handed to IP, or stopped by a rate limit.

    ``miss`` is the Miss's time. No such event, with the probes proven, means neither.
    """

    kind: ClassVar[str] = "fate"
    time: int
    miss: int
    status: Fate


@frozen
class MissCount:
    """The kernel's counter of a miss that repeats, read between two streamed misses.

    ``last`` is the time of the latest repeat. Same key as `Miss`; ``total`` is cumulative.
    """

    kind: ClassVar[str] = "count"
    time: int
    datagram: Datagram
    netns: int
    netns_cookie: int
    icmp_type: int
    icmp_code: int
    since: int
    last: int
    total: int
    sent: int | None = None
    """Of ``total``, ICMPs handed to IP; None when not told."""
    limited: int | None = None
    """Of ``total``, ICMPs a rate limit stopped; None when not told."""
    received: bool = False
    """The counter of an `IcmpReceived`, not of a miss."""
    proven: bool | None = None
    """As in `Miss`; None when not told."""


@frozen
class Expired:
    """The kernel has dropped the counters of all that last missed ``before``: what misses again is
    counted anew. All misses up to ``time`` that it counted are in the log before this."""

    kind: ClassVar[str] = "expired"
    time: int
    before: int


@frozen
class SocketSeen:
    """A socket found in a dump (udp_diag), at the start or when asked for later."""

    kind: ClassVar[str] = "socket"
    time: int
    socket: SocketView
    source: Literal["udp_diag", "proc"]


@frozen
class Owners:
    """Processes found holding a socket, by its inode; empty: looked for and none was found."""

    kind: ClassVar[str] = "owners"
    time: int
    inode: int
    holders: tuple[Holder, ...]


@frozen
class NetnsInfo:
    """What is known of a network namespace: its name, its local addresses and its links."""

    kind: ClassVar[str] = "netns"
    time: int
    inum: int
    cookie: int
    name: str | None
    """"host", an `ip netns` name, or None."""
    addresses: tuple[str, ...]
    links: tuple[tuple[int, str], ...]
    """(ifindex, name) pairs."""


@frozen
class PortRange:
    """The ports the kernel chooses from in a network namespace, read since it had found none free.

    net.ipv4.ip_local_port_range, both ends included, and ip_local_reserved_ports as it is written
    there; IPv6 has no others.
    """

    kind: ClassVar[str] = "range"
    time: int
    inum: int
    cookie: int
    first: int
    last: int
    reserved: str


@frozen
class NetnsContainers:
    """The containers that have processes in a network namespace; none: others have, or its name
    says whose it is. Told again when they have changed, and not when all processes are gone."""

    kind: ClassVar[str] = "containers"
    time: int
    inum: int
    cookie: int
    containers: tuple[Container, ...]


@frozen
class InContainer:
    """A process that was found to be a container's, when it was first seen."""

    kind: ClassVar[str] = "process"
    time: int
    pid: int
    start_ns: int
    """CLOCK_BOOTTIME, as in `Task` or in `Holder`."""
    container: Container


@frozen
class TargetChange:
    """A container that -c asked for has started in a network namespace, or has ended there."""

    kind: ClassVar[str] = "target"
    time: int
    spec: str
    """As the user wrote it."""
    state: Literal["started", "ended"]
    inum: int
    cookie: int
    container: Container


@frozen
class FourTuple:
    """The ends of a datagram."""

    src: str
    sport: int
    dst: str
    dport: int


@frozen
class Translation:
    """What connection tracking knew of a datagram that missed, looked up just after the miss.

    ``datagram`` are its ends as its receiver saw them, ``receiver`` that receiver's netns;
    ``netns`` and ``netns_cookie`` are of the namespace whose conntrack table had the entry.
    ``before`` are its ends as they came into that namespace: where they are the same, the entry
    translates nothing. ``direction`` is the datagram's in that entry, whose first packet's is
    "original". ``status`` are the entry's IPS_ bits (nf_conntrack_common.h), ``timeout`` the
    seconds it would live on without another packet; None where they were not told.
    """

    kind: ClassVar[str] = "nat"
    time: int
    family: Family
    datagram: FourTuple
    receiver: int
    netns: int
    netns_cookie: int
    before: FourTuple
    direction: Literal["original", "reply"]
    status: int | None = None
    timeout: int | None = None


@frozen
class Counters:
    """What the kernel has counted of a namespace's UDP and ICMP since the namespace began.

    Read between ``time`` and ``until``, by which the counters of misses had been read again: all
    misses in the log before this event came before ``time``, all that are read after ``until``
    after it. Recorded when a value has changed, and always at first and at the end.
    """

    kind: ClassVar[str] = "counters"
    time: int
    until: int
    inum: int
    cookie: int
    values: tuple[tuple[str, int], ...]
    """(nstat's name, cumulative value) of what this kernel counts; empty: the namespace is gone."""
    final: bool = False
    """Read at the end of the trace."""


@frozen
class Loss:
    """Evidence that was dropped: what, and how many since the previous Loss of the same what."""

    kind: ClassVar[str] = "loss"
    time: int
    what: str
    """A name of `LOSSES`."""
    count: int


@frozen
class Known:
    """A socket as it was known when a file began that is not the first of its trace.

    ``time`` is when it was last seen. ``first`` is the socket as it was first seen, ``sighting`` by
    what; ``calls`` are those that are still remembered, of ``connects`` successful connects, and
    ``dropped`` is the time of the latest that is not, -1 for none.
    """

    kind: ClassVar[str] = "known"
    time: int
    socket: SocketView
    first: SocketView
    sighting: Literal["dump", "call", "other"]
    calls: tuple[Call, ...]
    connects: int
    dropped: int
    task: Task | None
    """Who made the latest call on it."""
    closed: Close | None
    told: SockError | None
    """The latest error queued on it."""


@frozen
class Carried:
    """The end of what a file carries over from before it: its own evidence begins here.

    Before it a `MissCount` tells how much of a count is known already, and is no news.
    ``repeated``: how many of the events after it the part before has at its end, too.
    """

    kind: ClassVar[str] = "carried"
    time: int
    before: int
    """How many events of the trace came before those in this file."""
    repeated: int
    lost_calls: int
    """How many records of calls had been lost by then: `Loss`."""


@frozen
class Tick:
    """Time passed without an event and the linker acted on it: kept, so that a replay does too."""

    kind: ClassVar[str] = "tick"
    time: int


@frozen
class End:
    """Last event of a trace that ended cleanly, and why it did."""

    kind: ClassVar[str] = "end"
    time: int
    reason: str
    """"interrupted", "duration", "count", "terminated", "output closed" or "failed: ..."; of a file
    "continued" (in the next one), "signal" or "incident: CAUSE" (why a ring was written)."""


Event = (
    Header
    | Clock
    | Call
    | Created
    | Close
    | SockError
    | IcmpReceived
    | Miss
    | PortDump
    | IcmpFate
    | MissCount
    | Expired
    | SocketSeen
    | Owners
    | NetnsInfo
    | PortRange
    | NetnsContainers
    | InContainer
    | TargetChange
    | Translation
    | Counters
    | Loss
    | Known
    | Carried
    | Tick
    | End
)

CARRIED_OVER = (
    Clock,
    NetnsInfo,
    NetnsContainers,
    InContainer,
    TargetChange,
    Known,
    Owners,
    Translation,
    Counters,
    MissCount,
)
"""What can come before `Carried`."""

LOOKED_UP = {
    NetnsInfo,
    PortRange,
    NetnsContainers,
    InContainer,
    TargetChange,
    Owners,
    PortDump,
    Translation,
    Counters,
}
"""What was looked up for what came before, however long that took: it has no part in time."""

# What can be lost, with the words for it; the kernel's counters are in this order (bpf/events.h).
LOSSES = {
    "call": "connect, bind, autobind or disconnect records",
    "close": "close records",
    "error": "records of errors told to a socket",
    "miss": "misses not streamed (their counts are kept)",
    "candidate": "sockets of a walk",
    "key": "misses that could not be aggregated (table of misses full)",
    "inflight": "calls whose entry could not be remembered",
    "netns": "misses whose network namespace could not be read",
    "fate": "records of what became of an ICMP",
    "received": "records of ICMPs that came in (their counts are kept)",
    "packet": "first bytes of missed datagrams",
    "created": "records of sockets made",
    "uncounted": "misses of which nothing was kept (table of misses full, and the buffer)",
}
