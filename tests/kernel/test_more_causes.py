"""Devices, IPv6 and REJECT: made to happen for real, each beside its lookalike."""

from __future__ import annotations

import errno
import socket
import subprocess
from contextlib import suppress

import pytest

from tests.kernel.live import Live, checks
from tests.kernel.net import Namespace, arrival, ip, told

LO = "127.0.0.1"


def test_device(live: Live, box: Namespace) -> None:
    ip("-n", box.name, "link", "add", "dummy0", "type", "dummy")
    server = box.udp()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"dummy0")
    server.bind(("0.0.0.0", 7101))
    box.udp(connect=(LO, 7101)).send(b"refused")
    incident = live.incident(dport=7101)
    assert incident["cause"] == "device"
    assert checks(incident) == [{"field": "device", "socket": "dummy0", "datagram": "lo"}]
    assert incident["socket"]["device"] == "dummy0"


def test_device_lookalike_the_routes_device_takes_what_runs_over_loopback(
    live: Live, box: Namespace
) -> None:
    """inet_iif() is the route's: what goes to an own address arrives "on" its device."""
    ip("-n", box.name, "link", "add", "dummy0", "type", "dummy")
    ip("-n", box.name, "link", "set", "dummy0", "up")
    ip("-n", box.name, "address", "add", "10.9.0.1/24", "dev", "dummy0")
    server = box.udp()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"dummy0")
    server.bind(("0.0.0.0", 7102))
    client = box.udp()
    client.sendto(b"taken", ("10.9.0.1", 7102))
    assert arrival(server) == b"taken"
    # The same to a socket of the other device is refused, and named as such.
    other = box.udp()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    other.bind(("0.0.0.0", 7103))
    client.sendto(b"refused", ("10.9.0.1", 7103))
    incident = live.incident(dport=7103)
    assert incident["cause"] == "device"
    assert checks(incident) == [{"field": "device", "socket": "lo", "datagram": "dummy0"}]
    assert incident["datagram"]["ifname"] == "dummy0"
    assert live.incidents(dport=7102) == []


def test_ipv6_only(live: Live, box: Namespace) -> None:
    server = box.udp(family=socket.AF_INET6)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("::", 7104))
    box.udp(connect=(LO, 7104)).send(b"refused")
    incident = live.incident(dport=7104)
    assert incident["cause"] == "ipv6-only"
    assert incident["socket"]["local"] == "[::]:7104"
    assert incident["socket"]["v6only"] is True


def test_ipv6_only_lookalike_a_dual_stack_socket_takes_it(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("::", 7105), family=socket.AF_INET6)
    client = box.udp(connect=(LO, 7105))
    client.send(b"taken")
    assert arrival(server) == b"taken"
    assert told(client) == 0
    assert live.incidents(dport=7105) == []


def test_a_mapped_socket_is_judged_in_an_ipv4_lookup(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("::", 7106), family=socket.AF_INET6)
    server.connect(("::ffff:127.0.0.1", 6106))
    client = box.udp(bind=("::ffff:127.0.0.8", 6106), family=socket.AF_INET6)
    client.connect(("::ffff:127.0.0.1", 7106))
    client.send(b"refused")
    incident = live.incident(dport=7106)
    assert told(client) == errno.ECONNREFUSED
    assert incident["datagram"]["family"] == "ipv4"
    assert incident["cause"] == "remote-address"
    assert checks(incident) == [
        {"field": "remote-address", "socket": "127.0.0.1", "datagram": "127.0.0.8"}
    ]
    assert incident["told"][0]["socket"]["family"] == "ipv6"


def test_ipv6_looks_at_the_peers_port_before_its_address(live: Live, box: Namespace) -> None:
    ip("-n", box.name, "address", "add", "fd00::1/128", "dev", "lo", "nodad")
    box.udp(bind=("::1", 7107), connect=("fd00::1", 6107), family=socket.AF_INET6)
    client = box.udp(bind=("::1", 6999), connect=("::1", 7107), family=socket.AF_INET6)
    client.send(b"refused")
    incident = live.incident(dport=7107)
    assert incident["cause"] == "remote-port"
    assert [m["field"] for m in incident["mismatch"]] == ["remote-port", "remote-address"]
    assert incident["lookup"]["passes"] == 2
    assert incident["told"][0]["socket"]["local"] == "[::1]:6999"
    assert incident["icmp"]["name"] == "port-unreachable"


def test_ipv6_closed_and_no_socket(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("::", 7108), family=socket.AF_INET6)
    client = box.udp(connect=("::1", 7108), family=socket.AF_INET6)
    server.close()
    client.send(b"too late")
    assert live.incident(dport=7108)["cause"] == "closed"
    box.udp(connect=("::1", 7109), family=socket.AF_INET6).send(b"nobody")
    assert live.incident(dport=7109)["cause"] == "no-socket"


@pytest.mark.parametrize(
    ("hook", "port", "how", "name"),
    [
        ("input", 7110, "reject", "port-unreachable"),
        ("input", 7111, "reject with icmp admin-prohibited", "admin-prohibited"),
        ("output", 7112, "reject", "port-unreachable"),
    ],
)
def test_rejected_by_a_table_of_one_family(
    live: Live, box: Namespace, hook: str, port: int, how: str, name: str
) -> None:
    """A socket is there and would take it: no lookup ever missed."""
    box.udp(bind=("0.0.0.0", port))
    _nft(box, f"add chain ip t c {{ type filter hook {hook} priority 0; }}")
    _nft(box, f"add rule ip t c udp dport {port} {how}")
    with suppress(PermissionError):  # what OUTPUT rejects, sendto() is told at once
        box.udp(bind=(LO, port - 1000)).sendto(b"rejected", (LO, port))
    incident = live.incident(dport=port)
    assert incident["cause"] == "rejected"
    assert incident["socket"] is None
    assert incident["icmp"]["name"] == name
    assert incident["netns"]["inum"] == box.inum


def test_rejected_lookalike_a_miss_beside_a_rule_that_does_not_match(
    live: Live, box: Namespace
) -> None:
    _nft(box, "add chain ip t c { type filter hook input priority 0; }")
    _nft(box, "add rule ip t c udp dport 7113 reject")
    box.udp().sendto(b"nobody", (LO, 7114))
    assert live.incident(dport=7114)["cause"] == "no-socket"


def test_an_icmp_that_is_not_about_udp_is_never_reported(live: Live, box: Namespace) -> None:
    """A TCP connection rejected with an ICMP of the same type and code."""
    _nft(box, "add chain ip t c { type filter hook input priority 0; }")
    _nft(box, "add rule ip t c tcp dport 7115 reject with icmp port-unreachable")
    done = subprocess.run(
        ["ip", "netns", "exec", box.name, "nc.openbsd", "-w", "2", LO, "7115"],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode != 0
    box.udp().sendto(b"nobody", (LO, 7116))
    assert live.incident(dport=7116)["cause"] == "no-socket"
    assert live.incidents(dport=7115) == []


def test_a_rate_limited_icmp_is_said_to_be(live: Live, box: Namespace) -> None:
    """Two namespaces, since loopback knows no limit: of 200 quick misses few are answered."""
    with Namespace("peer") as peer:
        ip("-n", box.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
           "netns", peer.name)  # fmt: skip
        for namespace, address in ((box, "10.7.0.1/24"), (peer, "10.7.0.2/24")):
            ip("-n", namespace.name, "address", "add", address, "dev", "eth0")
            ip("-n", namespace.name, "link", "set", "eth0", "up")
        client = box.udp(bind=("10.7.0.1", 6117))
        for port in range(20000, 20200):
            client.sendto(b"nobody", ("10.7.0.2", port))
        incidents = [live.incident(dport=port) for port in range(20000, 20200)]
        statuses = [incident["icmp"]["status"] for incident in incidents]
        # The limit to one peer is six at once, then one a second, however slow this machine is.
        assert statuses[0] == "sent"
        assert statuses.count("sent") + statuses.count("rate-limited") == 200
        assert statuses.count("rate-limited") > 100


def _nft(namespace: Namespace, rule: str) -> None:
    """Run an nft command in a namespace, in its table `t`."""
    inside = ["ip", "netns", "exec", namespace.name, "nft"]
    subprocess.run([*inside, "add", "table", "ip", "t"], check=True)
    subprocess.run([*inside, rule], check=True)
