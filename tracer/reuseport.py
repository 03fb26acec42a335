"""Groups of SO_REUSEPORT: sockets that share one local end, of which the kernel picks any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracer.addresses import endpoint
from tracer.events import Miss, SocketView
from tracer.match import Nearest, failing_checks


def group_hint(
    near: Nearest, sockets: Iterable[SocketView], miss: Miss, links: Mapping[int, str]
) -> tuple[str, ...]:
    """Says so when the socket named is one of a group: what holds for it, holds for each of them.

    Only sockets known to have SO_REUSEPORT set count.
    """
    named = near.socket
    if not named.reuseport:
        return ()
    accept = miss.l3mdev_accept
    group = [
        view
        for view in sockets
        if _in_one_group(view, named)
        and failing_checks(view, miss.datagram, links=links, l3mdev_accept=accept) == near.mismatch
    ]
    if len(group) < 2:
        return ()
    where = endpoint(named.local, named.lport)
    return (f"{len(group)} sockets share {where} by SO_REUSEPORT; all refuse it alike",)


def _in_one_group(view: SocketView, named: SocketView) -> bool:
    """As udp_reuseport_add_sock (net/ipv4/udp.c) puts them together."""
    return bool(view.reuseport) and (
        (view.family, view.local, view.device, view.v6only, view.uid)
        == (named.family, named.local, named.device, named.v6only, named.uid)
    )
