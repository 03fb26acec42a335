"""The kernel's compute_score in Python: a socket and a datagram give the checks that fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tracer.addresses import ANY4, ANY6, LOOPBACK4_IPV6, MAPPED, is_any, unmapped
from tracer.causes import Cause
from tracer.events import TCP_ESTABLISHED, Datagram, Family, SocketView
from tracer.frozen import frozen

# The order in which compute_score looks (net/ipv4/udp.c, net/ipv6/udp.c), netns and port aside,
# which every candidate has passed. IPv6 looks at the peer's port before its address.
_ORDER: dict[Family, tuple[Cause, ...]] = {
    "ipv4": (
        Cause.IPV6_ONLY,
        Cause.LOCAL_ADDRESS,
        Cause.REMOTE_ADDRESS,
        Cause.REMOTE_PORT,
        Cause.DEVICE,
    ),
    "ipv6": (Cause.LOCAL_ADDRESS, Cause.REMOTE_PORT, Cause.REMOTE_ADDRESS, Cause.DEVICE),
}


@frozen
class Mismatch:
    """One check that failed: what the socket holds and what the datagram has."""

    field: Cause
    socket: str
    datagram: str


@frozen
class Nearest:
    """The candidate that came nearest to taking the datagram, and what kept it from doing so."""

    socket: SocketView
    mismatch: tuple[Mismatch, ...]


Distance = tuple[int, bool, int, int, int, str, str, str, int, int]
"""How far a candidate is from taking a datagram: see `distance`."""


def is_connected(socket: SocketView) -> bool:
    """Whether a connect() holds: the state tells, a disconnected socket's peer can be stale."""
    return socket.state == TCP_ESTABLISHED


def takes_part(socket: SocketView, datagram: Datagram) -> bool:
    """Whether a lookup of this family looks at the socket at all (IPv6's skips AF_INET)."""
    return datagram.family == "ipv4" or socket.family == "ipv6"


def local4(socket: SocketView) -> str:
    """The local address an IPv4 lookup compares: inet_rcv_saddr.

    Where the source does not tell it, a native IPv6 address stands as the kernel's placeholder.
    """
    if socket.family == "ipv4":
        return socket.local
    if socket.local4 is not None:
        return socket.local4
    if socket.local == ANY6:
        return ANY4
    return unmapped(socket.local) if socket.local.startswith(MAPPED) else LOOPBACK4_IPV6


def peer4(socket: SocketView) -> str:
    """The peer address an IPv4 lookup compares: inet_daddr, unset on a native IPv6 socket."""
    if socket.family == "ipv4":
        return socket.peer
    if socket.peer4 is not None:
        return socket.peer4
    return unmapped(socket.peer) if socket.peer.startswith(MAPPED) else ANY4


def shown_local(socket: SocketView, family: Family) -> str:
    """The local address that a lookup of a family compares, as a mismatch shows it."""
    # The placeholder of a native IPv6 socket would only mislead: its real address is shown.
    return _shown(local4(socket), socket.local) if family == "ipv4" else socket.local


def shown_peer(socket: SocketView, family: Family) -> str:
    """The peer address that a lookup of a family compares, as a mismatch shows it."""
    return _shown(peer4(socket), socket.peer) if family == "ipv4" else socket.peer


def failing_checks(
    socket: SocketView,
    datagram: Datagram,
    *,
    links: Mapping[int, str] | None = None,
    l3mdev_accept: bool = False,
) -> tuple[Mismatch, ...]:
    """Every check of compute_score that refuses the datagram, in the kernel's order.

    The socket is in the datagram's netns, on its port, and `takes_part`. The kernel stops at the
    first failing check; the others are told because mending the first alone would not help.
    ``links`` names interfaces by ifindex; ``l3mdev_accept`` is net.ipv4.udp_l3mdev_accept.
    """
    checks = _checks4(socket, datagram) if datagram.family == "ipv4" else _checks6(socket, datagram)
    return (*checks, *_device(socket, datagram, links or {}, l3mdev_accept))


def _checks4(socket: SocketView, datagram: Datagram) -> Iterator[Mismatch]:
    """net/ipv4/udp.c:compute_score, up to the device."""
    if socket.family == "ipv6" and socket.v6only:
        yield Mismatch(Cause.IPV6_ONLY, "ipv6", "ipv4")
    # Two passes look for the destination, then for the wildcard: either makes a match.
    if local4(socket) not in (datagram.dst, ANY4):
        yield Mismatch(Cause.LOCAL_ADDRESS, shown_local(socket, "ipv4"), datagram.dst)
    if peer4(socket) not in (ANY4, datagram.src):
        yield Mismatch(Cause.REMOTE_ADDRESS, shown_peer(socket, "ipv4"), datagram.src)
    if socket.pport and socket.pport != datagram.sport:
        yield Mismatch(Cause.REMOTE_PORT, str(socket.pport), str(datagram.sport))


def _shown(compared: str, held: str) -> str:
    return held if compared == LOOPBACK4_IPV6 and unmapped(held) != compared else compared


def _checks6(socket: SocketView, datagram: Datagram) -> Iterator[Mismatch]:
    """net/ipv6/udp.c:compute_score, up to the device."""
    if socket.local not in (datagram.dst, ANY6):
        yield Mismatch(Cause.LOCAL_ADDRESS, socket.local, datagram.dst)
    if socket.pport and socket.pport != datagram.sport:
        yield Mismatch(Cause.REMOTE_PORT, str(socket.pport), str(datagram.sport))
    # Compared even when disconnected: __udp_disconnect leaves sk_v6_daddr as it was.
    if not is_any(socket.peer) and socket.peer != datagram.src:
        yield Mismatch(Cause.REMOTE_ADDRESS, socket.peer, datagram.src)


def _device(
    socket: SocketView, datagram: Datagram, links: Mapping[int, str], l3mdev_accept: bool
) -> Iterator[Mismatch]:
    """include/net/inet_sock.h:inet_bound_dev_eq."""
    if not socket.device:
        if datagram.sdif and not l3mdev_accept:
            yield Mismatch(Cause.DEVICE, "unbound", _ifname(datagram, links))
    elif socket.device not in (datagram.ifindex, datagram.sdif):
        bound = links.get(socket.device, str(socket.device))
        yield Mismatch(Cause.DEVICE, bound, _ifname(datagram, links))


def _ifname(datagram: Datagram, links: Mapping[int, str]) -> str:
    return datagram.ifname or links.get(datagram.ifindex, str(datagram.ifindex))


def measure(
    socket: SocketView,
    datagram: Datagram,
    *,
    links: Mapping[int, str] | None = None,
    l3mdev_accept: bool = False,
) -> Nearest:
    """A candidate that `takes_part`, with what keeps it from taking the datagram."""
    checks = failing_checks(socket, datagram, links=links, l3mdev_accept=l3mdev_accept)
    return Nearest(socket, checks)


def distance(item: Nearest, family: Family) -> Distance:
    """The ranking's key, the nearest first; docs/matching.md has the reasoning.

    Fewest failing checks, connected before unconnected, then the later check in the kernel's
    order; among equals the lowest inode, as a rule the oldest socket, so that a newcomer does not
    change the answer. What follows tells apart sockets without one.
    """
    order, socket = _ORDER[family], item.socket
    first = order.index(item.mismatch[0].field) if item.mismatch else len(order)
    identity = (socket.inode, socket.cookie, socket.sock)
    ends = (socket.local, socket.peer, socket.pport, socket.device)
    return (len(item.mismatch), not is_connected(socket), -first, *identity, *ends)


def nearest(
    candidates: Iterable[SocketView],
    datagram: Datagram,
    *,
    links: Mapping[int, str] | None = None,
    l3mdev_accept: bool = False,
) -> Nearest | None:
    """The candidate nearest to a match by `distance`, None where no socket takes part."""
    measured = [
        measure(socket, datagram, links=links, l3mdev_accept=l3mdev_accept)
        for socket in candidates
        if takes_part(socket, datagram)
    ]
    return min(measured, key=lambda item: distance(item, datagram.family), default=None)
