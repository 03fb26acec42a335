"""Unreachables that no lookup and no rule sent: routes and neighbours; and ICMPs that are neither
about UDP nor unreachables, which are never reported."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.kernel.live import Live, wait_for
from tests.kernel.routed import FAMILIES, NUMBERS, RECEIVERS, SERVER, Path, routed
from tracer.events import Family

ICMP, IPIP, GRE, UDPLITE, UNKNOWN = 1, 4, 47, 136, 253
BLACKHOLE, MISSED, EXPIRED, SUPPRESSED = 7635, 7636, 7637, 7639
# A request of ICMP with its checksum, the identifier and number of which are 0.
ECHO = struct.pack(">BBHHH", 8, 0, 0xFFFF - 0x0800, 0, 0)
# The destination port inside what is wrapped in another protocol.
WRAPPED = 7638

# What a connected sender is told of admin-prohibited.
PROHIBITED = {"ipv4": "EHOSTUNREACH", "ipv6": "EACCES"}

Callers = dict[Family, tuple[str, ...]]


@dataclass(frozen=True)
class Scene:
    """A destination that the router or the client itself answers for."""

    name: str
    port: int
    at: str
    destination: dict[Family, str]
    codes: dict[Family, str]
    callers: Callers


_IP_ERROR: Callers = {"ipv4": ("ip_error",), "ipv6": ("ip6_pkt_drop", "ip6_pkt_discard")}
_LINK_FAILURE: Callers = {
    "ipv4": ("ipv4_link_failure", "ipv4_send_dest_unreach"),
    "ipv6": ("ip6_link_failure",),
}

SCENES = [
    Scene("no-route", 7630, "router", {"ipv4": "10.99.0.1", "ipv6": "fd99::1"},
          {"ipv4": "net-unreachable", "ipv6": "no-route"}, _IP_ERROR),
    Scene("unreachable-route", 7631, "router", {"ipv4": "10.11.10.1", "ipv6": "fd11:a::1"},
          {"ipv4": "host-unreachable", "ipv6": "no-route"}, _IP_ERROR),
    Scene("prohibit-route", 7632, "router", {"ipv4": "10.11.11.1", "ipv6": "fd11:b::1"},
          {"ipv4": "admin-prohibited", "ipv6": "admin-prohibited"},
          {"ipv4": ("ip_error",), "ipv6": ("ip6_pkt_drop", "ip6_pkt_prohibit")}),
    Scene("no-neighbour-of-the-router", 7633, "router",
          {"ipv4": "10.11.2.99", "ipv6": "fd11:2::99"},
          {"ipv4": "host-unreachable", "ipv6": "address-unreachable"}, _LINK_FAILURE),
    Scene("no-neighbour-of-the-client", 7634, "client",
          {"ipv4": "10.11.1.99", "ipv6": "fd11:1::99"},
          {"ipv4": "host-unreachable", "ipv6": "address-unreachable"}, _LINK_FAILURE),
]  # fmt: skip


@pytest.fixture(scope="module")
def path(live: Live) -> Iterator[Path]:
    with routed() as path:
        path.router.ip(
            "route add unreachable 10.11.10.0/24",
            "route add prohibit 10.11.11.0/24",
            "route add blackhole 10.11.12.0/24",
            "route add unreachable fd11:a::/64",
            "route add prohibit fd11:b::/64",
            "route add blackhole fd11:c::/64",
        )
        for namespace, device in ((path.client, "eth0"), (path.router, "right")):
            for family in FAMILIES:
                # Half a second in vain instead of three.
                neighbours = f"{family}__neigh__{device}__"
                namespace.sysctl(**{neighbours + "mcast_solicit": "1"})
        yield path


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_unreachable(live: Live, path: Path, scene: Scene, family: Family) -> None:
    """Sent by the kernel itself, without a lookup and without a filter."""
    ends = (scene.destination[family], scene.port)
    path.client.udp(connect=ends, family=NUMBERS[family]).send(b"nowhere")
    incident = live.incident(dport=scene.port, family=family)
    assert incident["cause"] == "rejected"
    assert incident["socket"] is None
    assert incident["netns"]["name"] == getattr(path, scene.at).name
    assert incident["icmp"]["name"] == scene.codes[family]
    assert incident["icmp"]["status"] == "sent"
    assert incident["lookup"]["caller"] in scene.callers[family]
    assert incident["origin"]["netns"]["name"] == path.client.name
    at = getattr(path, scene.at).name
    where = f"ip netns exec {at} ip route get {ends[0]}"
    begins = f"netns {at} has no route to {ends[0]}, or one that refuses: {where}"
    if scene.callers is _LINK_FAILURE:
        begins = f"nobody answers for {ends[0]} on its link"
    assert where in incident["advice"][0]
    assert incident["advice"][0].startswith(begins)
    if scene.codes[family] == "admin-prohibited":
        assert [told["error"] for told in incident["told"]] == [PROHIBITED[family]]
    else:
        (untold,) = incident["not_told"]
        assert "_RECVERR is told of this code" in untold["why"]


@pytest.mark.parametrize("family", FAMILIES)
def test_unreachable_lookalike_a_blackhole_is_silence(
    live: Live, path: Path, family: Family
) -> None:
    """The route drops it without an ICMP; the neighbour that is there takes the next."""
    blackhole = {"ipv4": "10.11.12.1", "ipv6": "fd11:c::1"}[family]
    path.client.udp(connect=(blackhole, BLACKHOLE), family=NUMBERS[family]).send(b"gone")
    path.client.udp(connect=(SERVER[family], MISSED), family=NUMBERS[family]).send(b"nobody")
    incident = live.incident(dport=MISSED, family=family)
    assert incident["cause"] == "no-socket"
    assert incident["lookup"]["caller"] in RECEIVERS[family]
    assert live.incidents(dport=BLACKHOLE) == []


def test_time_exceeded_is_not_an_unreachable(live: Live, path: Path) -> None:
    for family, level, option in (
        ("ipv4", socket.IPPROTO_IP, socket.IP_TTL),
        ("ipv6", socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
    ):
        sender = path.client.udp(connect=(SERVER[family], EXPIRED), family=NUMBERS[family])
        sender.setsockopt(level, option, 1)
        sender.send(b"too far")
    wait_for(
        lambda: (
            path.router.counters().get("IcmpMsgOutType11") == 1
            and path.router.counters().get("Icmp6OutType3") == 1
        ),
        lambda: f"two ICMPs: {path.router.counters()}",
    )
    _marker(live, path, 7646)
    assert live.incidents(dport=EXPIRED) == []


def test_an_echo_reply_is_no_unreachable_that_left(live: Live, path: Path) -> None:
    """A miss that nobody can be told of, then, on its processor, the answer to a ping."""
    path.server.ip("route add unreachable 192.0.2.0/24")
    path.client.inside(partial(_send_raw, ICMP, ECHO))  # so that the neighbours are known
    _wait_for_answers(path, 1)
    path.client.inside(_send_unanswerable_and_ping)
    _wait_for_answers(path, 2)
    assert live.incident(dport=SUPPRESSED)["icmp"]["status"] == "suppressed"


def _wait_for_answers(path: Path, count: int) -> None:
    wait_for(
        lambda: path.server.counters().get("IcmpMsgOutType0") == count,
        lambda: f"{count} answers: {path.server.counters()}",
    )


def test_unreachables_about_other_protocols_are_never_reported(live: Live, path: Path) -> None:
    """The tunnels and a rule send type 3, code 3, as UDP does; and what they carry is UDP."""
    for module in ("ipip", "ip_gre"):
        subprocess.run(["modprobe", module], check=True)
    path.server.run(
        "nft", "-f", "-",
        text="table ip t { chain c { type filter hook input priority 0;"
        " icmp type echo-request reject with icmp port-unreachable; }; }\n",
    )  # fmt: skip
    before = path.server.counters().get("IcmpMsgOutType3", 0)
    payloads = {
        ICMP: ECHO,
        IPIP: _udp_in_ip(),
        GRE: struct.pack(">HH", 0, 0x0800) + _udp_in_ip(),
        UDPLITE: struct.pack(">HHHH", 6638, WRAPPED, 8, _lite_checksum()),
        UNKNOWN: _udp_in_ip(),
    }
    for protocol, payload in payloads.items():
        with path.client.inside(
            partial(socket.socket, socket.AF_INET, socket.SOCK_RAW, protocol)
        ) as raw:
            raw.sendto(payload, (SERVER["ipv4"], 0))
    wait_for(
        lambda: path.server.counters().get("IcmpMsgOutType3", 0) == before + len(payloads),
        lambda: f"{len(payloads)} ICMPs after {before}: {path.server.counters()}",
    )
    _marker(live, path, 7647)
    assert live.incidents(dport=WRAPPED) == []
    for module in ("ipip", "ip_gre"):
        subprocess.run(["modprobe", "-r", module], check=True)


def _send_unanswerable_and_ping() -> None:
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(_udp_in_ip("192.0.2.7", SUPPRESSED), (SERVER["ipv4"], 0))
        _send_raw(ICMP, ECHO)
    finally:
        os.sched_setaffinity(0, processors)


def _send_raw(protocol: int, payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as raw:
        raw.sendto(payload, (SERVER["ipv4"], 0))


def _udp_in_ip(source: str = "10.11.1.2", port: int = WRAPPED) -> bytes:
    """An IPv4 packet with a UDP datagram."""
    ends = socket.inet_aton(source) + socket.inet_aton(SERVER["ipv4"])
    header = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    return header + struct.pack(">HHHH", 6638, port, 8, 0)


def _lite_checksum() -> int:
    """RFC 3828: of the pseudo-header and, here, of the header alone."""
    ends = socket.inet_aton("10.11.1.2") + socket.inet_aton(SERVER["ipv4"])
    words = ends + struct.pack(">HHHHH", UDPLITE, 8, 6638, WRAPPED, 8)
    total: int = sum(struct.unpack(f">{len(words) // 2}H", words))
    return 0xFFFF - total % 0xFFFF


def _marker(live: Live, path: Path, port: int) -> None:
    """A miss after all this, reported: what is not by now will not be."""
    path.client.udp().sendto(b"nobody", (SERVER["ipv4"], port))
    assert live.incident(dport=port)["cause"] == "no-socket"
