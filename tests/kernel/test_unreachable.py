"""ICMP about a datagram that came to no lookup and met no rule: nobody there, or no way there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel.live import Live
from tests.kernel.net import Namespace, arrival, ip


@pytest.fixture
def next_hop(box: Namespace) -> Iterator[Namespace]:
    """A neighbour of the box: 10.7.8.2 beside 10.7.8.1, and the way to everywhere else."""
    with Namespace("hop") as hop:
        ip("-n", box.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
           "netns", hop.name)  # fmt: skip
        for namespace, address in ((box, "10.7.8.1/24"), (hop, "10.7.8.2/24")):
            ip("-n", namespace.name, "address", "add", address, "dev", "eth0")
            ip("-n", namespace.name, "link", "set", "eth0", "up")
        ip("-n", box.name, "route", "add", "default", "via", "10.7.8.2")
        forward = ["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]
        subprocess.run(["ip", "netns", "exec", hop.name, *forward], check=True)
        yield hop


def test_nobody_answers_for_the_address(live: Live, box: Namespace, next_hop: Namespace) -> None:
    box.udp(bind=("10.7.8.1", 6840)).sendto(b"nobody", ("10.7.8.99", 7840))
    incident = live.incident(dport=7840)
    assert incident["cause"] == "rejected"
    assert incident["icmp"]["name"] == "host-unreachable"
    assert incident["netns"]["inum"] == box.inum
    assert incident["advice"][0].startswith(
        "nobody answers for 10.7.8.99 on its link: look whether it is up, then at "
        f"ip netns exec {box.name} ip neigh"
    ), incident


def test_no_route_at_the_next_hop(live: Live, box: Namespace, next_hop: Namespace) -> None:
    box.udp(bind=("10.7.8.1", 6841)).sendto(b"nowhere", ("192.0.2.1", 7841))
    incident = live.incident(dport=7841, cause="rejected")
    assert incident["icmp"]["name"] in ("net-unreachable", "host-unreachable")
    assert incident["netns"]["inum"] == next_hop.inum
    assert incident["advice"][0].startswith(
        f"netns {next_hop.name} has no route to 192.0.2.1: ip netns exec {next_hop.name} ip route"
    ), incident


def test_lookalike_a_datagram_that_arrives(live: Live, box: Namespace, next_hop: Namespace) -> None:
    server = next_hop.udp(bind=("0.0.0.0", 7842))
    box.udp(bind=("10.7.8.1", 6842)).sendto(b"taken", ("10.7.8.2", 7842))
    assert arrival(server) == b"taken"
    assert live.incidents(dport=7842) == []
