"""What another machine refused: ICMP that comes in, and no miss here."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from tests.kernel.live import Live, wait_for
from tests.kernel.net import Namespace, ip, told
from tests.kernel.tun import Elsewhere

NEAR, FAR, ROUTER = "10.66.0.1", "10.66.0.9", "10.66.0.254"
NEAR6, FAR6 = "fd66::1", "fd66::9"


@pytest.fixture(scope="module")
def near() -> Iterator[Namespace]:
    """A namespace with a way to another machine."""
    with Namespace("near") as namespace:
        yield namespace


@pytest.fixture(scope="module")
def elsewhere(near: Namespace) -> Iterator[Elsewhere]:
    """That machine."""
    far = Elsewhere(near, f"{NEAR}/24", f"{NEAR6}/64")
    yield far
    far.close()


def test_another_machine_refused_it(live: Live, near: Namespace, elsewhere: Elsewhere) -> None:
    client = near.udp(connect=(FAR, 7201))
    client.send(b"refused")
    elsewhere.refuse(3, 3)
    incident = live.incident(dport=7201)
    assert told(client) == errno.ECONNREFUSED
    assert incident["cause"] == "remote"
    assert incident["certain"] is True, incident["caveats"]
    assert incident["icmp"] == {
        "type": 3, "code": 3, "name": "port-unreachable", "status": "received", "from": FAR,
    }  # fmt: skip
    assert incident["netns"]["inum"] == near.inum
    assert incident["datagram"]["src"] == NEAR
    assert incident["socket"] is None
    assert incident["origin"]["local"] == f"{NEAR}:{client.getsockname()[1]}"
    assert [t["error"] for t in incident["told"]] == ["ECONNREFUSED"]
    assert incident["not_told"] == []
    assert FAR in incident["advice"][0]


def test_another_machine_refused_it_over_ipv6(
    live: Live, near: Namespace, elsewhere: Elsewhere
) -> None:
    client = near.udp(connect=(FAR6, 7202), family=socket.AF_INET6)
    client.send(b"refused")
    elsewhere.refuse(1, 4)
    incident = live.incident(dport=7202)
    assert told(client) == errno.ECONNREFUSED
    assert (incident["cause"], incident["icmp"]["from"]) == ("remote", FAR6)
    assert incident["told"][0]["socket"]["peer"] == f"[{FAR6}]:7202"


def test_an_unconnected_sender_is_told_nothing_from_elsewhere(
    live: Live, near: Namespace, elsewhere: Elsewhere
) -> None:
    client = near.udp(bind=(NEAR, 6203))
    client.sendto(b"refused", (FAR, 7203))
    elsewhere.refuse(3, 3)
    incident = live.incident(dport=7203)
    assert told(client) == 0
    assert (incident["cause"], incident["told"]) == ("remote", [])
    assert incident["not_told"][0]["why"] == "unconnected"


def test_a_router_on_the_way_is_named(live: Live, near: Namespace, elsewhere: Elsewhere) -> None:
    client = near.udp(connect=(FAR, 7204))
    client.send(b"prohibited")
    elsewhere.refuse(3, 13, sender=ROUTER)
    incident = live.incident(dport=7204)
    assert told(client) == errno.EHOSTUNREACH
    assert (incident["icmp"]["name"], incident["icmp"]["from"]) == ("admin-prohibited", ROUTER)
    assert incident["told"][0]["error"] == "EHOSTUNREACH"
    assert ROUTER in incident["advice"][0]


def test_repeats_are_one_incident(live: Live, near: Namespace, elsewhere: Elsewhere) -> None:
    client = near.udp(connect=(FAR, 7205))
    for _ in range(20):
        client.send(b"refused")
        elsewhere.refuse(3, 3)
        wait_for(lambda: told(client) == errno.ECONNREFUSED, "the error")
    assert live.incident(dport=7205, count=20)["count"] == 20


def test_lookalike_a_miss_in_a_namespace_of_this_machine(live: Live, box: Namespace) -> None:
    """Its ICMP comes in over a veth as from another machine; the miss itself was seen, too."""
    with Namespace("far") as far:
        ip("-n", box.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
           "netns", far.name)  # fmt: skip
        for namespace, address in ((box, "10.67.0.1/24"), (far, "10.67.0.2/24")):
            ip("-n", namespace.name, "address", "add", address, "dev", "eth0")
            ip("-n", namespace.name, "link", "set", "eth0", "up")
        client = box.udp(connect=("10.67.0.2", 7206))
        client.send(b"nobody")
        incident = live.incident(dport=7206)
        assert (incident["cause"], incident["icmp"]["status"]) == ("no-socket", "sent")
        assert incident["netns"]["inum"] == far.inum
        assert incident["told"][0]["socket"]["netns"]["inum"] == box.inum


def test_lookalike_other_icmp_is_no_refusal(
    live: Live, near: Namespace, elsewhere: Elsewhere
) -> None:
    """Time exceeded, and a request for smaller datagrams, reach the same function."""
    client = near.udp(connect=(FAR, 7207))
    for kind, code in ((11, 0), (3, 4)):
        client.send(b"answered")
        elsewhere.refuse(kind, code, mtu=1400)
    near.udp(connect=(FAR, 7208)).send(b"refused")
    elsewhere.refuse(3, 3)
    assert live.incident(dport=7208)["cause"] == "remote"
    assert live.incidents(dport=7207) == []
