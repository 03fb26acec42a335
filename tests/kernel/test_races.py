"""Misses in the middle of a connect() and of a bind(), made to happen by holding the kernel there.

A kernel with the fix for CVE-2024-57974 (6.12.107, 6.18 and later) looks a last time where a
connect() does not move a socket: there nothing misses in a connect(), and nothing is reported. What
the kernel itself counts decides which of the two a test has to find.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.kernel.freeze import Freezer
from tests.kernel.live import Live, checks, wait_for
from tests.kernel.net import Namespace, arrival, received
from tests.kernel.routed import FAMILIES, NUMBERS
from tracer.events import Family
from tracer.kernel.symbols import KALLSYMS

ANY = {"ipv4": "0.0.0.0", "ipv6": "::"}
# What the route gives a socket that connects to the peer.
HERE = {"ipv4": "127.0.0.1", "ipv6": "fd00::8"}
PEER = {"ipv4": "127.0.0.8", "ipv6": "fd00::8"}
OTHER = {"ipv4": "127.0.0.1", "ipv6": "::1"}
RECVERR = {
    "ipv4": (socket.IPPROTO_IP, 11),  # IP_RECVERR
    "ipv6": (socket.IPPROTO_IPV6, 25),  # IPV6_RECVERR
}
NO_PORTS = {socket.AF_INET: "UdpNoPorts", socket.AF_INET6: "Udp6NoPorts"}
SENT = 3


@pytest.fixture(scope="module")
def moving(live: Live) -> Iterator[Freezer]:
    """Where connect() moves a socket in the table."""
    freezer = Freezer("udp_v4_rehash", "udp_v6_rehash")
    yield freezer
    freezer.close()


@pytest.fixture(scope="module")
def missing(live: Live) -> Iterator[Freezer]:
    """Between a lookup that found nothing and its ICMP: see `send_unchecked`."""
    freezer = Freezer("__skb_checksum_complete")
    yield freezer
    freezer.close()


@pytest.fixture(scope="module")
def telling(live: Live) -> Iterator[Freezer]:
    """Where errors are told, as in tracer/kernel/probes.py: before udptrace's probe, for it is the
    later one of the two."""
    has_one_caller = " sk_error_report\n" in KALLSYMS.read_text()
    freezer = Freezer("sk_error_report" if has_one_caller else "sock_def_error_report")
    yield freezer
    freezer.close()


@pytest.fixture(scope="module")
def home(live: Live) -> Iterator[Namespace]:
    with Namespace("race") as namespace:
        namespace.ip("address add fd00::8/128 dev lo nodad")
        yield namespace


@dataclass(frozen=True)
class Outcome:
    """What became of the datagrams sent while the kernel was held."""

    delivered: int
    missed: int


def _send(
    home: Namespace, client: socket.socket, server: socket.socket, to: tuple[str, int]
) -> Outcome:
    """Some datagrams to the server, which is locked meanwhile, and where they went."""
    no_ports = NO_PORTS[client.family]
    before = home.counters()[no_ports]
    got: list[bytes] = []

    def missed() -> int:
        return home.counters()[no_ports] - before

    def arrived() -> bool:
        got.extend(received(server))
        return len(got) + missed() == SENT

    for _ in range(SENT):
        client.sendto(b"x", to)
    wait_for(arrived, "what was sent")
    return Outcome(len(got), missed())


def _disconnect(sock: socket.socket) -> None:
    """connect(AF_UNSPEC), which Python's own connect() cannot say."""
    assert ctypes.CDLL(None).connect(sock.fileno(), bytes(16), 16) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_connect_race(live: Live, home: Namespace, moving: Freezer, family: Family) -> None:
    """The peer's datagrams miss the socket that is being connected to it, or nothing does."""
    server = home.udp(bind=(ANY[family], 7640), family=NUMBERS[family])
    client = home.udp(bind=(PEER[family], 6640), family=NUMBERS[family])
    with moving.held(partial(server.connect, (PEER[family], 6640))):
        outcome = _send(home, client, server, (HERE[family], 7640))
    client.sendto(b"afterwards", (HERE[family], 7640))
    assert arrival(server) == b"afterwards"
    _told_as_race(live, family, 7640, outcome)
    server.close()


def _told_as_race(live: Live, family: Family, port: int, outcome: Outcome) -> None:
    if not outcome.missed:
        assert live.incidents(dport=port, family=family) == []
        return
    # While it was held it could only be told as a race: nothing had been recorded of its call.
    incident = live.incident(count=outcome.missed, dport=port, family=family, cause="connect-race")
    assert len(live.incidents(dport=port, family=family)) == 1
    assert incident["count"] == outcome.missed
    assert incident["cause"] == "connect-race"
    assert incident["certain"] is True
    assert incident["mismatch"] == []
    assert incident["socket"]["connect"]["requested"] == incident["socket"]["peer"]


@pytest.mark.parametrize("family", FAMILIES)
def test_connect_race_lookalike_another_peer(
    live: Live, home: Namespace, moving: Freezer, family: Family
) -> None:
    """What the connect() will refuse is refused, whether it comes in the middle or after."""
    server = home.udp(bind=(ANY[family], 7641), family=NUMBERS[family])
    other = home.udp(bind=(OTHER[family], 6641), family=NUMBERS[family])
    with moving.held(partial(server.connect, (PEER[family], 6641))):
        outcome = _send(home, other, server, (HERE[family], 7641))
    other.sendto(b"afterwards", (HERE[family], 7641))
    incident = live.incident(
        count=outcome.missed + 1, dport=7641, family=family, cause="remote-address"
    )
    assert checks(incident) == [
        {"field": "remote-address", "socket": PEER[family], "datagram": OTHER[family]}
    ]
    assert incident["certain"] is True
    assert received(server) == []
    server.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_disconnect_race(live: Live, home: Namespace, moving: Freezer, family: Family) -> None:
    """connect(AF_UNSPEC) moves the socket back, through the same gap."""
    server = home.udp(bind=(ANY[family], 7642), family=NUMBERS[family])
    server.connect((PEER[family], 6642))
    client = home.udp(bind=(PEER[family], 6642), family=NUMBERS[family])
    with moving.held(partial(_disconnect, server)):
        outcome = _send(home, client, server, (HERE[family], 7642))
    client.sendto(b"afterwards", (HERE[family], 7642))
    assert arrival(server) == b"afterwards"
    assert outcome.missed == SENT  # the fix is for connect() alone
    _told_as_race(live, family, 7642, outcome)
    server.close()


def test_race(live: Live, home: Namespace, missing: Freezer) -> None:
    """A socket is bound between the lookup and the ICMP: it matches, and nothing shows why not."""
    with missing.held(partial(home.inside, partial(send_unchecked, 7643))):
        home.udp(bind=(HERE["ipv4"], 7643))
    incident = live.incident(dport=7643)
    assert incident["cause"] == "race"
    assert incident["mismatch"] == []
    assert incident["certain"] is False
    assert incident["socket"]["local"] == "127.0.0.1:7643"


def test_race_lookalike_what_appears_would_not_take_it(
    live: Live, home: Namespace, missing: Freezer
) -> None:
    with missing.held(partial(home.inside, partial(send_unchecked, 7644))):
        home.udp(bind=("127.0.0.2", 7644))
    assert live.incident(dport=7644)["cause"] == "local-address"


def test_race_lookalike_what_appears_afterwards(live: Live, home: Namespace) -> None:
    home.udp().sendto(b"nobody", (HERE["ipv4"], 7645))
    assert live.incident(dport=7645)["cause"] == "no-socket"
    home.udp(bind=(HERE["ipv4"], 7645))
    assert [i["cause"] for i in live.incidents(dport=7645)] == ["no-socket"]


def send_unchecked(port: int) -> None:
    """A datagram whose checksum nobody has verified when it misses.

    It is verified between the lookup and the ICMP then (net/ipv4/udp.c:__udp4_lib_rcv), when it is
    longer than CHECKSUM_BREAK (include/linux/skbuff.h), which is where the kernel is held.
    """
    ends = socket.inet_aton("127.0.0.1") * 2
    header = struct.pack(">HHHH", 6643, port, 208, 0)
    pseudo = ends + struct.pack(">HH", socket.IPPROTO_UDP, 208)
    total: int = sum(struct.unpack(">10H", pseudo + header))
    header = header[:6] + struct.pack(">H", 0xFFFF - total % 0xFFFF)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(header + bytes(200), ("127.0.0.1", 0))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_that_is_read_before_the_probe_sees_it(
    live: Live, home: Namespace, telling: Freezer, family: Family
) -> None:
    """A reader on another processor takes it between its being set and its being reported."""
    client = home.udp(family=NUMBERS[family])
    client.connect((OTHER[family], 7648))
    with telling.held(partial(client.send, b"nobody")), pytest.raises(ConnectionRefusedError):
        client.recv(1, socket.MSG_DONTWAIT)
    assert _errors(live, 7648, family) == ["ECONNREFUSED"]
    client.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_error_that_is_read_lookalike_the_queue_is_reported_first(
    live: Live, home: Namespace, family: Family
) -> None:
    """With IP_RECVERR there is a report with nothing to be read yet; it is no second error."""
    client = home.udp(family=NUMBERS[family])
    client.setsockopt(*RECVERR[family], 1)
    client.connect((OTHER[family], 7649))
    client.send(b"nobody")
    assert _errors(live, 7649, family) == ["ECONNREFUSED"]
    client.close()


def _errors(live: Live, port: int, family: Family) -> list[str]:
    """The errors told of a port's one incident."""
    return [told["error"] for told in live.incident(dport=port, family=family)["told"]]
