"""A client, a router and a server, each a network namespace, joined by both families."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.kernel.net import Namespace, link, unlimited_peers
from tracer.events import Family

FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
NUMBERS = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
SERVER = {"ipv4": "10.11.2.2", "ipv6": "fd11:2::2"}
ROUTER = {"ipv4": "10.11.1.1", "ipv6": "fd11:1::1"}

# Who sends the ICMP of a miss: from 7.2 on the receive function itself.
RECEIVERS = {"ipv4": ("__udp4_lib_rcv", "udp_rcv"), "ipv6": ("__udp6_lib_rcv", "udpv6_rcv")}


@dataclass(frozen=True)
class Path:
    """client (eth0) - (left) router (right) - (eth0) server."""

    client: Namespace
    router: Namespace
    server: Namespace


@contextmanager
def routed() -> Iterator[Path]:
    """The three, with addresses and routes; unreachables between them are not rate-limited."""
    with ExitStack() as stack:
        path = Path(*(stack.enter_context(Namespace(name)) for name in ("cl", "ro", "se")))
        _wire(path)
        yield path


def _wire(path: Path) -> None:
    link(path.client, path.router, ("eth0", "left"))
    link(path.router, path.server, ("right", "eth0"))
    path.client.ip(
        "address add 10.11.1.2/24 dev eth0",
        "address add fd11:1::2/64 dev eth0 nodad",
        "route add default via 10.11.1.1",
        "route add ::/0 via fd11:1::1",
    )
    path.router.ip(
        "address add 10.11.1.1/24 dev left",
        "address add fd11:1::1/64 dev left nodad",
        "address add 10.11.2.1/24 dev right",
        "address add fd11:2::1/64 dev right nodad",
    )
    path.server.ip(
        "address add 10.11.2.2/24 dev eth0",
        "address add fd11:2::2/64 dev eth0 nodad",
        "route add default via 10.11.2.1",
        "route add ::/0 via fd11:2::1",
    )
    path.router.sysctl(ipv4__ip_forward="1", ipv6__conf__all__forwarding="1")
    unlimited_peers(path.client, path.router, path.server)
