"""A VRF: who takes what comes in by an interface that belongs to one, and who is named if not."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kernel.live import Live, checks
from tests.kernel.net import Namespace, arrival, link, unlimited_peers
from tests.kernel.routed import FAMILIES, NUMBERS
from tracer.events import Family

HERE = {"ipv4": "10.78.0.1", "ipv6": "fd78::1"}
ANY = {"ipv4": "0.0.0.0", "ipv6": "::"}


@dataclass(frozen=True)
class Tenant:
    """A namespace whose eth0 is in the VRF `red`, with `blue0` beside it, and a peer."""

    host: Namespace
    peer: Namespace


@pytest.fixture(scope="module")
def tenant(live: Live) -> Iterator[Tenant]:
    subprocess.run(["modprobe", "vrf"], check=True)
    with Namespace("vrf") as host, Namespace("peer") as peer:
        link(host, peer)
        host.ip(
            "link add red type vrf table 10",
            "link set red up",
            "link add blue0 type dummy",
            "link set blue0 up",
            "link set eth0 master red",
            "address add 10.78.0.1/24 dev eth0",
            "address add fd78::1/64 dev eth0 nodad",
        )
        peer.ip("address add 10.78.0.2/24 dev eth0", "address add fd78::2/64 dev eth0 nodad")
        unlimited_peers(host, peer)
        yield Tenant(host, peer)


def _open(tenant: Tenant, family: Family, port: int, device: str = "") -> socket.socket:
    """A wildcard socket, bound to a device or to none."""
    server = tenant.host.udp(family=NUMBERS[family])
    if family == "ipv6":
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if device:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    server.bind((ANY[family], port))
    return server


def _send(tenant: Tenant, family: Family, port: int) -> None:
    sender = tenant.peer.udp(connect=(HERE[family], port), family=NUMBERS[family])
    sender.send(b"into the vrf")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("device", "port"), [("", 7660), ("blue0", 7661)])
def test_vrf_refused(live: Live, tenant: Tenant, family: Family, device: str, port: int) -> None:
    """By a socket outside the VRF, or bound to another interface."""
    tenant.host.sysctl(ipv4__udp_l3mdev_accept="0")
    _open(tenant, family, port, device)
    _send(tenant, family, port)
    incident = live.incident(dport=port, family=family)
    assert incident["cause"] == "device"
    assert checks(incident) == [
        {"field": "device", "socket": device or "unbound", "datagram": "red"}
    ]
    assert incident["socket"]["device"] == (device or None)
    assert incident["netns"]["inum"] == tenant.host.inum
    assert incident["origin"]["netns"]["inum"] == tenant.peer.inum
    assert any(incident["told"])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("device", "accept", "port"), [("red", "0", 7662), ("eth0", "0", 7663), ("", "1", 7664)]
)
def test_vrf_lookalike_taken(
    live: Live, tenant: Tenant, family: Family, device: str, accept: str, port: int
) -> None:
    """By a socket bound to the VRF or to its interface; by any with udp_l3mdev_accept."""
    tenant.host.sysctl(ipv4__udp_l3mdev_accept=accept)
    server = _open(tenant, family, port, device)
    _send(tenant, family, port)
    assert arrival(server) == b"into the vrf"
    assert live.incidents(dport=port, family=family) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_vrf_lookalike_another_check_failed(live: Live, tenant: Tenant, family: Family) -> None:
    """With udp_l3mdev_accept the device is no reason: only what refused is named."""
    tenant.host.sysctl(ipv4__udp_l3mdev_accept="1")
    server = _open(tenant, family, 7665)
    other = tenant.host.udp(bind=({"ipv4": "127.0.0.1", "ipv6": "::1"}[family], 6665),
                            family=NUMBERS[family])  # fmt: skip
    server.connect(other.getsockname()[:2])
    _send(tenant, family, 7665)
    incident = live.incident(dport=7665, family=family)
    fields = [check["field"] for check in incident["mismatch"]]
    assert "device" not in fields
    assert "remote-address" in fields
