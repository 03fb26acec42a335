"""Datagrams that come wrapped, oversized, bare or cut short: told as UDP sees them, or not."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kernel.live import Live, checks
from tests.kernel.net import Namespace, arrival, link, unlimited_peers
from tests.kernel.tun import UDP, Elsewhere, checksum

SO_NO_CHECK = 11

FAR, NEAR = "10.79.0.9", "10.79.0.1"

WRAPPINGS = {
    "vlan": "link add link eth0 name wrapped type vlan id 7",
    "ipip": "link add wrapped type ipip local {here} remote {there}",
    "gre": "link add wrapped type gre local {here} remote {there}",
    "gretap": "link add wrapped type gretap local {here} remote {there}",
    "vxlan": "link add wrapped type vxlan id 7 local {here} remote {there} dstport 4789",
}


@contextmanager
def _wrapped(how: str) -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces, 10.80.0.1 and 10.80.0.2, each the other's only by what wraps."""
    with Namespace("left") as left, Namespace("right") as right:
        link(left, right)
        ends = ("10.78.0.1", "10.78.0.2")
        for namespace, (here, there) in ((left, ends), (right, ends[::-1])):
            namespace.ip(
                f"address add {here}/24 dev eth0",
                how.format(here=here, there=there),
                "link set wrapped up",
                f"address add 10.80.0.{here[-1]}/24 dev wrapped",
            )
        unlimited_peers(left, right)
        yield left, right


@pytest.mark.parametrize(("how", "port"), [(how, 8130 + n) for n, how in enumerate(WRAPPINGS)])
def test_vlans_and_tunnels(live: Live, how: str, port: int) -> None:
    """The datagram within is what missed, on the interface that unwrapped it."""
    with _wrapped(WRAPPINGS[how]) as (left, right):
        server = right.udp(bind=("10.80.0.2", port))
        sender = left.udp(bind=("10.80.0.1", 6820), connect=("10.80.0.2", port))
        sender.send(b"taken")
        assert arrival(server) == b"taken"
        server.connect(("10.80.0.1", 6999))
        sender.send(b"refused")
        incident = live.incident(dport=port)
        assert checks(incident) == [{"field": "remote-port", "socket": "6999", "datagram": "6820"}]
        assert incident["datagram"]["src"] == "10.80.0.1"
        assert incident["datagram"]["ifname"] == "wrapped"
        assert incident["datagram"]["length"] == 8 + len(b"refused")
        assert incident["netns"]["inum"] == right.inum
        assert [told["error"] for told in incident["told"]] == ["ECONNREFUSED"]


def test_a_jumbo_frame(live: Live) -> None:
    with Namespace("left") as left, Namespace("right") as right:
        link(left, right)
        for namespace, end in ((left, 1), (right, 2)):
            namespace.ip("link set eth0 mtu 9000", f"address add 10.78.0.{end}/24 dev eth0")
        left.udp(bind=("10.78.0.1", 6821)).sendto(bytes(8900), ("10.78.0.2", 8121))
        incident = live.incident(dport=8121)
        assert (incident["cause"], incident["count"]) == ("no-socket", 1)
        assert incident["datagram"]["length"] == 8908


def test_no_checksum(live: Live, box: Namespace) -> None:
    """Zero is none, which IPv4 allows: the datagram is as good as any."""
    sender = box.udp(bind=("127.0.0.1", 6822))
    sender.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    sender.sendto(b"bare", ("127.0.0.1", 8122))
    incident = live.incident(dport=8122)
    assert (incident["cause"], incident["count"]) == ("no-socket", 1)
    assert incident["lookup"]["passes"] == 2


def _packet(body: bytes, options: bytes = b"") -> bytes:
    """An IPv4 packet from the far end, its checksum right, whatever its body is."""
    words = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | words, 0, 4 * words + len(body), 1, 0, 64, UDP, 0,
        socket.inet_aton(FAR), socket.inet_aton(NEAR),
    ) + options  # fmt: skip
    return header[:10] + checksum(header) + header[12:] + body


def _sealed(before: bytes, after: bytes = b"") -> bytes:
    """Two parts of a body with the checksum between them that its length and ends ask for."""
    ends = socket.inet_aton(FAR) + socket.inet_aton(NEAR)
    pseudo = ends + struct.pack("!HH", UDP, len(before) + 2 + len(after))
    return before + checksum(pseudo + before + bytes(2) + after) + after


def _udp(sport: int, dport: int, length: int, payload: bytes = b"") -> bytes:
    """A UDP header that says it is so long, and what comes behind it."""
    return _sealed(struct.pack("!HHH", sport, dport, length), payload)


def test_headers_that_lie(live: Live, box: Namespace) -> None:
    """What is cut short, or says that it is longer than it is, is no datagram, and no incident.

    A REJECT answers to anything; UDP itself drops what is not whole.
    """
    far = Elsewhere(box, f"{NEAR}/24")
    try:
        box.run("nft", "add table ip t")
        box.run("nft", "add chain ip t c { type filter hook input priority 0; }")
        box.run("nft", f"add rule ip t c ip saddr {FAR} ip length != 28-60 counter reject")
        far.send(_packet(_sealed(b"\x1a\xa4")))  # half of a UDP header
        far.send(_packet(_udp(6823, 8123, 900, b"shorter")))
        far.send(_packet(_udp(6823, 8123, 7)))  # shorter than its own header
        far.send(_packet(_udp(6824, 8124, 8 + 2, b"more than it says")))
        far.send(_packet(_udp(6825, 8125, 8), options=b"\x01" * 40))  # as many as there can be
        incident = live.incident(dport=8125)
        assert (incident["cause"], incident["datagram"]["sport"]) == ("rejected", 6825)
        assert incident["datagram"]["length"] == 8
        assert "counter packets 2" in box.run("nft", "list", "ruleset")
        assert box.counters()["IcmpMsgOutType3"] >= 2  # the half one was answered as well
    finally:
        far.close()
    assert {i["datagram"]["dport"] for i in live.incidents(src=FAR)} <= {8124, 8125}
