"""Which socket the kernel's lookup finds for a datagram: none, one, or one of several alike."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.addresses import is_any
from tracer.events import Datagram, SocketView
from tracer.match import failing_checks, is_connected, local4, peer4, takes_part


def takers(
    sockets: Iterable[SocketView], datagram: Datagram, *, l3mdev_accept: bool = False
) -> tuple[SocketView, ...]:
    """The sockets that pass every check of compute_score; a broadcast goes to each of them.

    ``sockets`` are of the datagram's netns, on any port; ``l3mdev_accept`` as in `Miss`.
    """
    return tuple(
        view
        for view in sockets
        if view.lport == datagram.dport
        and takes_part(view, datagram)
        and not failing_checks(view, datagram, l3mdev_accept=l3mdev_accept)
    )


def found(
    sockets: Iterable[SocketView], datagram: Datagram, *, l3mdev_accept: bool = False
) -> tuple[SocketView, ...]:
    """The sockets of which the lookup finds one; none: it misses.

    Several where the order in a hash chain, the hash of a SO_REUSEPORT group or the CPU decides,
    which no dump tells. net/ipv4/udp.c:__udp4_lib_lookup, net/ipv6/udp.c:__udp6_lib_lookup.
    """
    taking = takers(sockets, datagram, l3mdev_accept=l3mdev_accept)
    # One pass looks for the destination itself, the next, if that found nothing, for the wildcard.
    named = tuple(view for view in taking if not is_any(_local(view, datagram)))
    exact = tuple(view for view in named if _is_exact(view, datagram))
    if exact:
        # Early demux, and a hash of four-tuples (6.13), end at the first of the chain.
        return exact
    pool = named or taking
    best = max((_score(view, datagram) for view in pool), default=0)
    return tuple(v for v in pool if _score(v, datagram) + _remembers_cpu(v, datagram) >= best)


def _is_exact(view: SocketView, datagram: Datagram) -> bool:
    """Whether it is connected to the very sender."""
    return is_connected(view) and view.pport == datagram.sport


def _score(view: SocketView, datagram: Datagram) -> int:
    """compute_score of a socket that takes the datagram, but for the CPU."""
    peer, device = _has_peer(view, datagram), bool(view.device)
    if datagram.family == "ipv6":
        return bool(view.pport) + peer + device
    return (2 if view.family == "ipv4" else 1) + 4 * (peer + bool(view.pport) + device)


def _remembers_cpu(view: SocketView, datagram: Datagram) -> bool:
    """Whether it may score one more: a socket with a peer is marked with the CPU that served it
    last (sk_incoming_cpu)."""
    return _has_peer(view, datagram)


def _has_peer(view: SocketView, datagram: Datagram) -> bool:
    return not is_any(peer4(view) if datagram.family == "ipv4" else view.peer)


def _local(view: SocketView, datagram: Datagram) -> str:
    return local4(view) if datagram.family == "ipv4" else view.local
