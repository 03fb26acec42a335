"""What the kernel's probes tell, and what of it was lost."""

from __future__ import annotations

from typing import ClassVar, Literal

from tracer.events.pieces import (
    Datagram,
    ReceivedIcmp,
    SocketView,
    Task,
    Walk,
)
from tracer.frozen import frozen

Fate = Literal["sent", "rate-limited"]


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
class Loss:
    """Evidence that was dropped: what, and how many since the previous Loss of the same what."""

    kind: ClassVar[str] = "loss"
    time: int
    what: str
    """A name of `LOSSES`."""
    count: int


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
