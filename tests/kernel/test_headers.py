"""Datagrams with more than a plain header, and link-local ones, each beside one that is taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kernel.live import Live, checks, wait_for
from tests.kernel.net import Namespace, arrival, link, unlimited_peers
from tests.kernel.routed import FAMILIES, NUMBERS
from tracer.events import Family

LEFT = {"ipv4": "10.77.0.1", "ipv6": "fd77::1"}
RIGHT = {"ipv4": "10.77.0.2", "ipv6": "fd77::2"}
SCOPED_LEFT, SCOPED_RIGHT = "fe80::1", "fe80::2"

# include/uapi/linux/in6.h
IPV6_HOPOPTS, IPV6_DSTOPTS = 54, 59
# Next header and length (filled in by the kernel, and 8 bytes), then a PadN option of 4 zeros.
PADDING = bytes([0, 0, 1, 4, 0, 0, 0, 0])
# Record route, room for one address; end of the list (RFC 791).
RECORD_ROUTE = bytes([7, 7, 4, 0, 0, 0, 0, 0])


@dataclass(frozen=True)
class Pair:
    """Two namespaces with two links between them, eth0 and eth1, and the same link-local addresses
    on both."""

    left: Namespace
    right: Namespace

    def index(self, namespace: Namespace, name: str) -> int:
        """An interface's number, as sin6_scope_id wants it."""
        return namespace.inside(lambda: socket.if_nametoindex(name))


@pytest.fixture(scope="module")
def pair(live: Live) -> Iterator[Pair]:
    with Namespace("left") as left, Namespace("right") as right:
        for name in ("eth0", "eth1"):
            link(left, right, (name, name))
        for namespace, end in ((left, 1), (right, 2)):
            namespace.ip(
                # Or one of the kernel's own comes late, and connect() may choose it.
                "link set dev eth0 addrgenmode none",
                "link set dev eth1 addrgenmode none",
                "address flush dev eth0",
                "address flush dev eth1",
                f"address add fe80::{end}/64 dev eth0 nodad",
                f"address add fe80::{end}/64 dev eth1 nodad",
                f"address add fd77::{end}/64 dev eth0 nodad",
                f"address add 10.77.0.{end}/24 brd 10.77.0.255 dev eth0",
            )
        unlimited_peers(left, right)
        yield Pair(left, right)


def _link_local(pair: Pair, device: str, sport: int) -> socket.socket:
    """A sender on the left with the link-local address of one of its interfaces."""
    scope = pair.index(pair.left, device)
    return pair.left.udp(bind=(SCOPED_LEFT, sport, 0, scope), family=socket.AF_INET6)


def test_link_local_by_another_interface_than_bound(live: Live, pair: Pair) -> None:
    """bind() to a link-local address binds to its interface; the same address is on both."""
    scope = pair.index(pair.right, "eth0")
    server = pair.right.udp(bind=(SCOPED_RIGHT, 7650, 0, scope), family=socket.AF_INET6)
    taken, refused = _link_local(pair, "eth0", 6650), _link_local(pair, "eth1", 6650)
    refused.connect((SCOPED_RIGHT, 7650, 0, pair.index(pair.left, "eth1")))
    refused.send(b"refused")
    incident = live.incident(dport=7650)
    assert incident["cause"] == "device"
    assert checks(incident) == [{"field": "device", "socket": "eth0", "datagram": "eth1"}]
    assert incident["socket"]["device"] == "eth0"
    assert incident["socket"]["local"] == "[fe80::2]:7650"
    assert incident["datagram"]["ifname"] == "eth1"
    assert [told["error"] for told in incident["told"]] == ["ECONNREFUSED"]
    taken.sendto(b"taken", (SCOPED_RIGHT, 7650, 0, pair.index(pair.left, "eth0")))
    assert arrival(server) == b"taken"
    assert live.incident(dport=7650)["count"] == 1


def test_link_local_by_another_interface_than_connected(live: Live, pair: Pair) -> None:
    """connect() to a link-local peer binds to its interface as well."""
    server = pair.right.udp(bind=("::", 7651), family=socket.AF_INET6)
    server.connect((SCOPED_LEFT, 6651, 0, pair.index(pair.right, "eth0")))
    taken, refused = _link_local(pair, "eth0", 6651), _link_local(pair, "eth1", 6651)
    refused.sendto(b"refused", (SCOPED_RIGHT, 7651, 0, pair.index(pair.left, "eth1")))
    incident = live.incident(dport=7651)
    assert checks(incident) == [{"field": "device", "socket": "eth0", "datagram": "eth1"}]
    assert incident["socket"]["connect"]["requested"] == "[fe80::1]:6651"
    taken.sendto(b"taken", (SCOPED_RIGHT, 7651, 0, pair.index(pair.left, "eth0")))
    assert arrival(server) == b"taken"
    assert live.incident(dport=7651)["count"] == 1


def test_multicast_and_broadcast_are_never_incidents(live: Live, pair: Pair) -> None:
    """No ICMP is sent about them; the same port misses by unicast."""
    before = pair.right.counters()
    scope = pair.index(pair.left, "eth0")
    four, six = pair.left.udp(), pair.left.udp(family=socket.AF_INET6)
    four.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    four.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    for group in ("224.0.0.1", "10.77.0.255"):
        four.sendto(b"nobody", (group, 7652))
    six.sendto(b"nobody", ("ff02::1", 7652, 0, scope))
    ignored = {"UdpIgnoredMulti": 2, "Udp6IgnoredMulti": 1}
    wait_for(
        lambda: all(pair.right.counters()[k] - before[k] >= n for k, n in ignored.items()),
        lambda: f"{ignored} more than {before}: {pair.right.counters()}",
    )
    four.sendto(b"nobody", (RIGHT["ipv4"], 7652))
    six.sendto(b"nobody", (RIGHT["ipv6"], 7652))
    for family in FAMILIES:
        incident = live.incident(dport=7652, family=family)
        assert incident["cause"] == "no-socket"
        assert incident["datagram"]["dst"] == RIGHT[family]


def _dressed(pair: Pair, kind: str, port: int) -> socket.socket:
    """A sender connected to the port, whose datagrams have more headers than they need."""
    family = NUMBERS["ipv4" if kind == "options" else "ipv6"]
    to = RIGHT["ipv4" if kind == "options" else "ipv6"]
    sender = pair.left.udp(bind=("", port - 1000), family=family)
    if kind == "options":
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, RECORD_ROUTE)
    if kind in ("hop-by-hop", "all"):
        sender.setsockopt(socket.IPPROTO_IPV6, IPV6_HOPOPTS, PADDING)
    if kind in ("destination", "all"):
        sender.setsockopt(socket.IPPROTO_IPV6, IPV6_DSTOPTS, PADDING)
    sender.connect((to, port))
    return sender


@pytest.mark.parametrize(
    ("kind", "port"),
    [("options", 7653), ("hop-by-hop", 7654), ("destination", 7655), ("all", 7656)],
)
def test_headers_between_ip_and_udp(live: Live, pair: Pair, kind: str, port: int) -> None:
    """IPv4 options and IPv6 extension headers; "all" is a fragmented datagram with both."""
    sender = _dressed(pair, kind, port)
    payload = bytes(4000 if kind == "all" else 5)
    here = RIGHT["ipv4" if kind == "options" else "ipv6"]
    server = pair.right.udp(bind=(here, port), family=sender.family)
    sender.send(payload)
    assert arrival(server) == payload
    server.connect((LEFT["ipv4" if kind == "options" else "ipv6"], 6999))
    sender.send(payload)
    incident = live.incident(dport=port)
    assert incident["count"] == 1
    assert checks(incident) == [
        {"field": "remote-port", "socket": "6999", "datagram": str(port - 1000)}
    ]
    assert incident["datagram"]["length"] == 8 + len(payload)
    assert incident["lookup"]["passes"] == 2
    assert [told["error"] for told in incident["told"]] == ["ECONNREFUSED"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fragmented_datagram(live: Live, pair: Pair, family: Family) -> None:
    """Put together again, it misses once and whole; the same to an open port is taken."""
    server = pair.right.udp(bind=(RIGHT[family], 7657), family=NUMBERS[family])
    sender = pair.left.udp(connect=(RIGHT[family], 7657), family=NUMBERS[family])
    sender.send(bytes(4000))
    assert arrival(server) == bytes(4000)
    sender.connect((RIGHT[family], 7658))
    sender.send(bytes(4000))
    incident = live.incident(dport=7658, family=family)
    assert incident["cause"] == "no-socket"
    assert incident["count"] == 1
    assert incident["datagram"]["length"] == 4008
    assert incident["datagram"]["sport"] == sender.getsockname()[1]
    assert live.incidents(dport=7657) == []
