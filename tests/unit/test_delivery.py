"""Which of the sockets that would take a datagram the lookup finds."""

from __future__ import annotations

import pytest

from tests.unit.build import gram, sock
from tracer.delivery import found, takers
from tracer.events import SocketView

FOUR = gram("10.0.0.9:4000", "10.0.0.1:53")
SIX = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")

WILDCARD, NAMED = sock("0.0.0.0:53", inode=1), sock("10.0.0.1:53", inode=2)
CONNECTED = sock("10.0.0.1:53", "10.0.0.9:4000", inode=3)
ON_DEVICE, DUAL = sock("0.0.0.0:53", inode=4, device=2), sock("[::]:53", inode=5)
TWIN = sock("0.0.0.0:53", inode=6)
OTHER_PORT, OTHER_PEER = (
    sock("0.0.0.0:54", inode=7),
    sock("10.0.0.1:53", "10.0.0.8:4000", inode=8),
)
CONNECTED_ON_DEVICE = sock("10.0.0.1:53", "10.0.0.9:4000", inode=9, device=2)
MAPPED = sock("[::ffff:10.0.0.1]:53", "[::ffff:10.0.0.9]:4000", inode=10)

WILDCARD6, NAMED6 = sock("[::]:53", inode=11), sock("[2001:db8::1]:53", inode=12)
CONNECTED6 = sock("[2001:db8::1]:53", "[2001:db8::9]:4000", inode=13)
ON_DEVICE6 = sock("[::]:53", inode=14, device=2)
# connect(AF_UNSPEC) leaves the peer's address, and with it the mark of the CPU.
STALE6 = sock("[::]:53", "[2001:db8::9]:0", inode=15)


@pytest.mark.parametrize(
    ("sockets", "expected"),
    [
        ([], []),
        ([OTHER_PORT, OTHER_PEER], []),
        ([WILDCARD, OTHER_PORT, OTHER_PEER], [WILDCARD]),
        # The pass for the destination itself comes first, whatever the wildcard would score.
        ([WILDCARD, ON_DEVICE, NAMED], [NAMED]),
        ([NAMED, CONNECTED], [CONNECTED]),
        ([WILDCARD, ON_DEVICE, DUAL], [ON_DEVICE]),
        # IPv4's own sockets come before the dual-stack ones.
        ([DUAL, WILDCARD], [WILDCARD]),
        ([DUAL], [DUAL]),
        # Nothing that a dump shows tells these apart.
        ([WILDCARD, TWIN, DUAL], [WILDCARD, TWIN]),
        ([CONNECTED, CONNECTED_ON_DEVICE, NAMED], [CONNECTED, CONNECTED_ON_DEVICE]),
        ([CONNECTED, MAPPED], [CONNECTED, MAPPED]),
    ],
)
def test_ipv4(sockets: list[SocketView], expected: list[SocketView]) -> None:
    assert list(found(sockets, FOUR)) == expected


@pytest.mark.parametrize(
    ("sockets", "expected"),
    [
        ([WILDCARD], []),
        ([WILDCARD6, ON_DEVICE6], [ON_DEVICE6]),
        ([WILDCARD6, ON_DEVICE6, NAMED6], [NAMED6]),
        ([NAMED6, CONNECTED6], [CONNECTED6]),
        ([WILDCARD6, STALE6], [STALE6]),
        ([ON_DEVICE6, STALE6], [ON_DEVICE6, STALE6]),
    ],
)
def test_ipv6(sockets: list[SocketView], expected: list[SocketView]) -> None:
    assert list(found(sockets, SIX)) == expected


def test_a_broadcast_is_everybodys() -> None:
    sockets = [WILDCARD, DUAL, ON_DEVICE, OTHER_PEER, OTHER_PORT]
    assert takers(sockets, FOUR) == (WILDCARD, DUAL, ON_DEVICE)


def test_below_a_vrf_the_setting_decides() -> None:
    below = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=9, sdif=2)
    assert found([WILDCARD], below) == ()
    assert found([WILDCARD], below, l3mdev_accept=True) == (WILDCARD,)
