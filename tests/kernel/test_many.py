"""Choice among many: the nearest of hundreds is named and the rest are counted."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.kernel.crowds import crowd
from tests.kernel.live import Json, Live
from tests.kernel.net import Namespace, arrival
from tests.kernel.settings import setting

LO = "127.0.0.1"
WALKED = 256
"""tracer/kernel/program.py:WALK_NODES."""

STRANGER = "127.0.0.99"
"""An address nobody is connected to."""

SLOTS = 8192
"""Not fewer than the UDP hash table of a small machine has."""

AUTOLOAD = Path("/proc/sys/kernel/modprobe")


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def peer(number: int, port: int) -> tuple[str, int]:
    """The peers of a crowd: none of them on the stranger's address or on its port."""
    return f"127.1.{number // 250}.{number % 250 + 1}", port


def is_completed(incident: Json) -> bool:
    """The walk was short, and what was read besides is all there is."""
    said = " ".join(incident["caveats"])
    return incident["lookup"]["truncated"] is True and "were read from a socket dump" in said


def test_the_nearest_of_six_hundred_connected_sockets(live: Live, box: Namespace) -> None:
    """All refuse the stranger's address, and one of them, made first, has its port."""
    others = [peer(number, 6500) for number in range(599)]
    with crowd(box, (LO, 7500), [peer(599, 6501), *others]) as sockets:
        box.udp(bind=(STRANGER, 6501), connect=(LO, 7500)).send(b"refused")
        incident = live.incident(dport=7500)
        assert incident["cause"] == "remote-address"
        assert incident["socket"]["inode"] == inode(sockets[0])
        assert incident["socket"]["connect"]["after"]["peer"] == "127.1.2.100:6501"
        assert incident["socket"]["processes"][0]["pid"] == os.getpid()
        assert incident["candidates"] == 599
        assert incident["lookup"]["visited"] == WALKED
        assert is_completed(incident)
        assert incident["certain"] is True, incident["caveats"]


def test_among_equals_the_oldest_is_named(live: Live, box: Namespace) -> None:
    """Nothing tells six hundred apart: the first one made, the last of the chain, is named."""
    with crowd(box, (LO, 7502), [peer(number, 6502) for number in range(600)]) as sockets:
        box.udp(bind=(STRANGER, 6503), connect=(LO, 7502)).send(b"refused")
        incident = live.incident(dport=7502)
        assert [m["field"] for m in incident["mismatch"]] == ["remote-address", "remote-port"]
        assert incident["socket"]["inode"] == min(map(inode, sockets))
        assert incident["candidates"] == 599
        assert is_completed(incident)


def test_the_nearest_is_the_newest(live: Live, box: Namespace) -> None:
    """The walk alone would have found this one: the dump must not make another of it."""
    others = [peer(number, 6504) for number in range(400)]
    with crowd(box, (LO, 7504), [*others, peer(400, 6505)]) as sockets:
        box.udp(bind=(STRANGER, 6505), connect=(LO, 7504)).send(b"refused")
        incident = live.incident(dport=7504)
        assert incident["socket"]["inode"] == inode(sockets[-1])
        assert incident["candidates"] == 400
        assert is_completed(incident)


def test_a_reuseport_group_on_another_address(live: Live, box: Namespace) -> None:
    group = crowd(box, ("127.0.0.2", 7506), [None] * 300, socket.SO_REUSEPORT)
    with group as sockets:
        box.udp(connect=(LO, 7506)).send(b"refused")
        incident = live.incident(dport=7506)
        assert incident["cause"] == "local-address"
        assert incident["socket"]["inode"] == min(map(inode, sockets))
        assert incident["candidates"] == 299
        assert is_completed(incident)
        assert incident["hints"] == [
            "300 sockets share 127.0.0.2:7506 by SO_REUSEPORT; all refuse it alike"
        ]


def test_a_small_reuseport_group_needs_no_dump(live: Live, box: Namespace) -> None:
    with crowd(box, ("127.0.0.2", 7507), [None] * 8, socket.SO_REUSEPORT):
        box.udp(connect=(LO, 7507)).send(b"refused")
        incident = live.incident(dport=7507)
        assert incident["lookup"]["truncated"] is False
        assert incident["candidates"] == 7
        assert incident["caveats"] == []
        assert incident["hints"] == [
            "8 sockets share 127.0.0.2:7507 by SO_REUSEPORT; all refuse it alike"
        ]


def test_sockets_that_share_by_reuseaddr_are_no_group(live: Live, box: Namespace) -> None:
    with crowd(box, ("127.0.0.2", 7508), [None] * 8):
        box.udp(connect=(LO, 7508)).send(b"refused")
        incident = live.incident(dport=7508)
        assert incident["candidates"] == 7
        assert incident["hints"] == []


def test_lookalike_one_of_six_hundred_takes_it(live: Live, box: Namespace) -> None:
    peers = [peer(number, 6509) for number in range(599)]
    with crowd(box, (LO, 7509), [(STRANGER, 6509), *peers]) as sockets:
        client = box.udp(bind=(STRANGER, 6509), connect=(LO, 7509))
        client.send(b"taken")
        assert arrival(sockets[0]) == b"taken"
        # What comes after it on the same port, and misses, is told: so would the other have been.
        box.udp(bind=("127.0.0.98", 6509), connect=(LO, 7509)).send(b"refused")
        assert live.incident(dport=7509)["datagram"]["src"] == "127.0.0.98"
        assert live.incidents(dport=7509, src=STRANGER) == []


def test_the_same_port_of_other_namespaces_does_not_count(live: Live) -> None:
    with ExitStack() as stack:
        boxes = [stack.enter_context(Namespace("many")) for _ in range(3)]
        crowds = [
            stack.enter_context(crowd(box, (LO, 7510), [peer(n, 6510) for n in range(100)]))
            for box in boxes
        ]
        boxes[1].udp(bind=(STRANGER, 6511), connect=(LO, 7510)).send(b"refused")
        incident = live.incident(dport=7510)
        assert incident["netns"]["inum"] == boxes[1].inum
        assert incident["socket"]["inode"] == min(map(inode, crowds[1]))
        assert (incident["candidates"], incident["lookup"]["matching"]) == (99, 100)


def test_a_slot_that_other_ports_share(live: Live, box: Namespace) -> None:
    """The port's only socket lies behind hundreds of others, whose ports are SLOTS apart."""
    with ExitStack() as stack:
        for port, sockets in ((7511, 1), (7511 + SLOTS, 200), (7511 + 2 * SLOTS, 200)):
            peers = [peer(n, 6512) for n in range(sockets)]
            stack.enter_context(crowd(box, (LO, port), peers))
        box.udp(bind=(STRANGER, 6513), connect=(LO, 7511)).send(b"refused")
        incident = live.incident(dport=7511)
        assert (incident["lookup"]["visited"], incident["lookup"]["matching"]) == (WALKED, 0)
        assert incident["socket"]["peer"] == "127.1.0.1:6512"
        assert incident["candidates"] == 0
        assert is_completed(incident)
        assert incident["certain"] is True, incident["caveats"]


def test_lookalike_a_shared_slot_whose_others_are_not_on_the_port(
    live: Live, box: Namespace
) -> None:
    """Nobody is on the port: the dump proves that, where the walk alone could not."""
    with crowd(box, (LO, 7513 + SLOTS), [peer(n, 6516) for n in range(300)]):
        box.udp(connect=(LO, 7513)).send(b"nobody")
        incident = live.incident(dport=7513)
        assert incident["cause"] == "no-socket"
        assert incident["candidates"] == 0
        assert "shows no others on the port" in incident["caveats"][0]


def test_without_udp_diag_it_is_said(live: Live, box: Namespace) -> None:
    """The sockets known from their connect() stand in, and the verdict is not certain."""
    with crowd(box, (LO, 7512), [peer(n, 6514) for n in range(400)]) as sockets, _no_udp_diag():
        box.udp(bind=(STRANGER, 6515), connect=(LO, 7512)).send(b"refused")
        incident = live.incident(dport=7512)
        assert incident["socket"]["inode"] == min(map(inode, sockets))
        assert incident["candidates"] == 399
        assert incident["certain"] is False
        (caveat,) = incident["caveats"]
        assert "the others could not be read from a socket dump (udp_diag: " in caveat


@contextmanager
def _no_udp_diag() -> Iterator[None]:
    """The module unloaded, and nothing to load it again with."""
    with setting(AUTOLOAD, "/bin/false"):
        subprocess.run(["rmmod", "udp_diag"], check=True)
        yield
