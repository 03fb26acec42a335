"""--all-icmp tells of requests for smaller datagrams too, --snaplen keeps payload: in one trace."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kernel.live import Live
from tests.kernel.net import Namespace, ip
from tests.kernel.tun import Elsewhere
from tracer.events import Miss
from tracer.recording.joined import Joined

IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
IPV6_MTU_DISCOVER = 23


@pytest.fixture(scope="module")
def all_icmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A trace with --all-icmp, and --snaplen."""
    trace = Live(tmp_path_factory.mktemp("all-icmp"), "--all-icmp", "--snaplen", "64")
    yield trace
    trace.stop()


def test_a_router_asks_for_smaller_datagrams(all_icmp: Live, live: Live, box: Namespace) -> None:
    """Two links of different size meet in it; the shared trace, without the option, is silent."""
    with Namespace("rtr") as router:
        for name, near, far, near6, far6 in (
            ("big", "10.68.1.1/24", "10.68.1.2/24", "fd68:1::1/64", "fd68:1::2/64"),
            ("small", "10.68.2.1/24", None, "fd68:2::1/64", None),
        ):
            peer = ["netns", box.name] if far else []
            ip("-n", router.name, "link", "add", name, "type", "veth", "peer", "name",
               f"{name}p", *peer)  # fmt: skip
            ip("-n", router.name, "address", "add", near, "dev", name)
            ip("-n", router.name, "address", "add", near6, "dev", name, "nodad")
            ip("-n", router.name, "link", "set", name, "up")
            if far and far6:
                ip("-n", box.name, "address", "add", far, "dev", f"{name}p")
                ip("-n", box.name, "address", "add", far6, "dev", f"{name}p", "nodad")
                ip("-n", box.name, "link", "set", f"{name}p", "up")
        ip("-n", router.name, "link", "set", "smallp", "up")
        ip("-n", router.name, "link", "set", "small", "mtu", "1280")
        ip("-n", box.name, "route", "add", "10.68.2.0/24", "via", "10.68.1.1")
        ip("-n", box.name, "route", "add", "fd68:2::/64", "via", "fd68:1::1")
        ip("netns", "exec", router.name, "sysctl", "-qw", "net.ipv4.ip_forward=1",
           "net.ipv6.conf.all.forwarding=1")  # fmt: skip
        client = box.udp()
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        client.sendto(bytes(1400), ("10.68.2.9", 7251))
        incident = all_icmp.incident(dport=7251, cause="rejected")
        assert incident["icmp"]["name"] == "fragmentation-needed"
        assert incident["netns"]["inum"] == router.inum
        client6 = box.udp(family=socket.AF_INET6)
        client6.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        client6.sendto(bytes(1400), ("fd68:2::9", 7252))
        incident = all_icmp.incident(dport=7252, cause="rejected")
        assert incident["icmp"]["name"] == "packet-too-big"
        # A real miss, later than both, is in both traces.
        box.udp().sendto(b"nobody", ("127.0.0.1", 7253))
        live.incident(dport=7253)
        assert live.incidents(dport=7251) == live.incidents(dport=7252) == []


def test_another_machine_asks_for_smaller_datagrams(
    all_icmp: Live, live: Live, box: Namespace
) -> None:
    elsewhere = Elsewhere(box, "10.66.1.1/24")
    box.udp(connect=("10.66.1.9", 7254)).send(bytes(1400))
    elsewhere.refuse(3, 4, sender="10.66.1.254", mtu=1300)
    incident = all_icmp.incident(dport=7254)
    assert (incident["cause"], incident["icmp"]["name"]) == ("remote", "fragmentation-needed")
    assert incident["icmp"]["from"] == "10.66.1.254"
    box.udp().sendto(b"nobody", ("127.0.0.1", 7255))
    live.incident(dport=7255)
    assert live.incidents(dport=7254) == []
    elsewhere.close()


def test_payload_is_kept_as_far_as_asked_for(all_icmp: Live, box: Namespace) -> None:
    """Ends the trace, for it reads its recording."""
    box.udp().sendto(b"0123456789" * 10, ("127.0.0.1", 7256))
    box.udp().sendto(b"short", ("127.0.0.1", 7257))
    box.udp(family=socket.AF_INET6).sendto(b"0123456789" * 10, ("::1", 7258))
    for port in (7256, 7257, 7258):
        all_icmp.incident(dport=port)
    all_icmp.stop()
    with Joined((str(all_icmp.recording),)) as recording:
        misses = [event for event in recording if isinstance(event, Miss)]
    kept = {miss.datagram.dport: bytes.fromhex(miss.packet or "") for miss in misses}
    # 64 bytes: what the IP header leaves of them.
    assert kept[7256][28:] == (b"0123456789" * 4)[:36]
    assert kept[7257][28:] == b"short"
    assert kept[7258][48:] == (b"0123456789" * 2)[:16]
