"""Lookups that are no receive, and receives that need none: never an incident, and a real miss
after each of them is told as if it had not been."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kernel.live import Live, wait_for
from tests.kernel.net import Namespace, arrival, link, received, told, unlimited_peers
from tests.kernel.routed import RECEIVERS
from tests.kernel.sklookup import dropped, steered

LEFT, RIGHT = "10.79.0.1", "10.79.0.2"

# include/uapi/linux/udp.h, include/uapi/asm-generic/socket.h, include/uapi/linux/in.h
UDP_SEGMENT, UDP_GRO = 103, 104
SO_ATTACH_REUSEPORT_CBPF = 51
IP_TRANSPARENT = 19
SOCK_DIAG_BY_FAMILY, NLMSG_ERROR = 20, 2


@dataclass(frozen=True)
class Pair:
    """Sender and receiver."""

    left: Namespace
    right: Namespace


@pytest.fixture(scope="module")
def pair(live: Live) -> Iterator[Pair]:
    with Namespace("left") as left, Namespace("right") as right:
        link(left, right)
        left.ip(f"address add {LEFT}/24 dev eth0")
        right.ip(f"address add {RIGHT}/24 dev eth0")
        unlimited_peers(left, right)
        yield Pair(left, right)


def _missed_as_ever(live: Live, pair: Pair, port: int) -> None:
    """A real miss, with the two passes and the caller of any other."""
    client = pair.left.udp(connect=(RIGHT, port))
    client.send(b"nobody")
    incident = live.incident(dport=port)
    assert incident["cause"] == "no-socket"
    assert incident["count"] == 1
    assert incident["lookup"]["passes"] == 2
    assert incident["lookup"]["caller"] in RECEIVERS["ipv4"]
    assert [each["error"] for each in incident["told"]] == ["ECONNREFUSED"]
    assert told(client) == errno.ECONNREFUSED


def _taken(pair: Pair, server: socket.socket, port: int, payload: bytes = b"taken") -> None:
    pair.left.udp(connect=(RIGHT, port)).send(payload)
    assert arrival(server) == payload


def test_the_icmps_own_lookup(live: Live, pair: Pair) -> None:
    """udp_err() looks for the sender with the tuple swapped, in vain when that is gone."""
    client = pair.left.udp(bind=(LEFT, 6670))
    client.sendto(b"nobody", (RIGHT, 7670))
    client.close()
    assert live.incident(dport=7670)["count"] == 1
    _missed_as_ever(live, pair, 7671)
    assert live.incidents(sport=7670) == live.incidents(dport=6670) == []


def test_udp_diag_during_traffic(live: Live, pair: Pair) -> None:
    """ss lists all sockets; asked for one alone, the kernel looks it up as a datagram would."""
    server = pair.right.udp(bind=(RIGHT, 7672))
    for _ in range(5):
        pair.right.run("ss", "-nuap")
        assert pair.right.inside(_ask_for_a_socket) < 0
        _taken(pair, server, 7672)
    _missed_as_ever(live, pair, 7673)
    assert live.incidents(dport=7672) == live.incidents(dport=6673) == []


def _ask_for_a_socket() -> int:
    """udp_dump_one (net/ipv4/udp_diag.c) about a socket that is not there; returns the error."""
    ends = struct.pack(">HH", 6673, 6674) + socket.inet_aton(RIGHT) + bytes(12)
    ends += socket.inet_aton(LEFT) + bytes(12) + struct.pack("<III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    request = struct.pack("<BBBBI", socket.AF_INET, socket.IPPROTO_UDP, 0, 0, 0xFFFF) + ends
    header = struct.pack("<IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, 1, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink:
        netlink.send(header + request)
        answer = netlink.recv(4096)
    assert struct.unpack_from("<H", answer, 4)[0] == NLMSG_ERROR
    return int(struct.unpack_from("<i", answer, 16)[0])


def test_socket_matches_of_netfilter(live: Live, pair: Pair) -> None:
    """nft's and xt's look the socket up before the receive does, in vain before a miss."""
    pair.right.run(
        "nft", "-f", "-",
        text="table ip s { chain c { type filter hook prerouting priority -150;"
        " meta l4proto udp socket transparent 1 accept; }; }\n",
    )  # fmt: skip
    pair.right.run(
        "iptables-restore", text="*mangle\n-A PREROUTING -p udp -m socket -j ACCEPT\nCOMMIT\n"
    )
    server = pair.right.udp(bind=(RIGHT, 7674))
    _taken(pair, server, 7674)
    _missed_as_ever(live, pair, 7675)
    assert live.incidents(dport=7674) == []
    pair.right.run("nft", "delete", "table", "ip", "s")
    pair.right.run("iptables-restore", text="*mangle\nCOMMIT\n")


def test_tproxy(live: Live, pair: Pair) -> None:
    """The rule gives the datagram a socket of another port, and nothing is looked up on its own."""
    pair.right.run(
        "nft", "-f", "-",
        text="table ip p { chain c { type filter hook prerouting priority -150;"
        " udp dport 7676 tproxy to :7677 accept; }; }\n",
    )  # fmt: skip
    proxy = pair.right.udp()
    proxy.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    proxy.bind(("0.0.0.0", 7677))
    pair.left.udp(connect=(RIGHT, 7676)).send(b"taken")
    assert arrival(proxy) == b"taken"
    _missed_as_ever(live, pair, 7678)
    assert live.incidents(dport=7676) == live.incidents(dport=7677) == []
    pair.right.run("nft", "delete", "table", "ip", "p")


def test_early_demux_and_conntrack(live: Live, pair: Pair) -> None:
    """A connected socket is found before the receive looks; with conntrack as without."""
    server = pair.right.udp(bind=(RIGHT, 7679), connect=(LEFT, 6679))
    client = pair.left.udp(bind=(LEFT, 6679), connect=(RIGHT, 7679))
    client.send(b"without")
    assert arrival(server) == b"without"
    pair.right.run(
        "nft", "-f", "-",
        text="table ip k { chain c { type filter hook input priority 0;"
        " ct state new,established counter accept; }; }\n",
    )  # fmt: skip
    client.send(b"with")
    assert arrival(server) == b"with"
    _missed_as_ever(live, pair, 7680)
    assert live.incidents(dport=7679) == []
    pair.right.run("nft", "delete", "table", "ip", "k")


def test_segments_and_gro(live: Live, pair: Pair) -> None:
    """Several datagrams in one buffer are looked up once; so they miss once."""
    for namespace in (pair.left, pair.right):
        namespace.run("ethtool", "-K", "eth0", "gro", "on")
    server = pair.right.udp(bind=(RIGHT, 7681))
    server.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    client = pair.left.udp(bind=(LEFT, 6681), connect=(RIGHT, 7681))
    client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
    client.send(bytes(300))
    got = arrival(server)
    wait_for(lambda: len(got) + sum(map(len, received(server))) == 300, "three segments")
    assert live.incidents(dport=7681) == []
    client.connect((RIGHT, 7682))
    client.send(bytes(300))
    incident = live.incident(dport=7682)
    assert incident["cause"] == "no-socket"
    assert incident["lookup"]["passes"] == 2
    assert incident["datagram"]["sport"] == 6681


def test_reuseport_with_bpf(live: Live, pair: Pair) -> None:
    """A program chooses among the sockets of a port."""
    servers = []
    for _ in range(2):
        server = pair.right.udp()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((RIGHT, 7683))
        servers.append(server)
    always_second = ctypes.create_string_buffer(struct.pack("<HBBI", 0x06, 0, 0, 1), 8)
    program = struct.pack("@HP", 1, ctypes.addressof(always_second))
    servers[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program)
    for _ in range(3):
        _taken(pair, servers[1], 7683)
    _missed_as_ever(live, pair, 7684)
    assert live.incidents(dport=7683) == []


def test_sk_lookup_steers(live: Live, pair: Pair) -> None:
    """No socket is on the port, and a BPF program names one of another port."""
    server = pair.right.udp(bind=("127.0.0.1", 7690))
    with steered(pair.right, 7691, server):
        _taken(pair, server, 7691)
        _missed_as_ever(live, pair, 7692)
    assert live.incidents(dport=7690) == live.incidents(dport=7691) == []


def test_sk_lookup_drops(live: Live, pair: Pair) -> None:
    """Its refusal is a miss though the socket is there; without it the socket takes it."""
    server = pair.right.udp(bind=("0.0.0.0", 7693))
    with dropped(pair.right, 7693):
        pair.left.udp(connect=(RIGHT, 7693)).send(b"refused")
        incident = live.incident(dport=7693)
    assert incident["cause"] == "race"
    assert incident["certain"] is False
    assert incident["lookup"]["passes"] == 1
    assert any("sk_lookup" in hint for hint in incident["hints"])
    assert incident["socket"]["local"] == "0.0.0.0:7693"
    _taken(pair, server, 7693)
    assert live.incident(dport=7693)["count"] == 1
