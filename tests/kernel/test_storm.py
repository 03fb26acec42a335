"""A storm of misses is counted exactly, whatever the tracer can take of it, in bounded memory.

A million misses, and a whole trace of 100,000 ports scanned, are what scripts/stress makes.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.live import Live, lost, wait_for
from tests.kernel.net import Namespace
from tests.kernel.settings import setting
from tests.kernel.storm import Volley
from tracer.events import Loss, Miss, MissCount
from tracer.kernel.program import Variant
from tracer.kernel.session import Session

LO = "127.0.0.1"

KEYS = 16384
"""bpf/misses.c:MISS_KEYS."""

RENEWALS = 64
"""... a second: bpf/misses.c:RENEWALS_A_SECOND; and as many at once."""

GROWTH_MB = 20
"""What is remembered of so many, and no more: a scan of 100,000 ports once took 100."""


@dataclass(frozen=True)
class Storm:
    """A trace of one namespace's misses, and another namespace whose misses are evidence only."""

    trace: Live
    shown: Namespace
    other: Namespace

    def counts(self) -> Counter[int]:
        """How often each port missed, as told so far."""
        told: Counter[int] = Counter()
        for incident in self.trace.incidents():
            told[incident["datagram"]["dport"]] += incident["count"]
        return told


@pytest.fixture(scope="module", autouse=True)
def _backlog() -> Iterator[None]:
    """Loopback drops what a busy machine has not taken, beyond 1000 datagrams: none of ours."""
    with setting(Path("/proc/sys/net/core/netdev_max_backlog"), "100000"):
        yield


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    with Namespace("storm") as shown, Namespace("scan") as other:
        trace = Live(tmp_path_factory.mktemp("storm"), "-N", shown.name)
        yield Storm(trace, shown, other)
        trace.stop()


def test_every_repeat_is_counted(storm: Storm) -> None:
    """As fast as they can be sent: none has an incident of its own, and none is missing."""
    ports = range(20001, 20102)
    volley = Volley((LO, port) for port in ports)
    sender = storm.shown.udp(bind=(LO, 9))
    sent = sum(volley.send(sender) for _ in range(499))
    assert storm.shown.counters()["UdpNoPorts"] == sent == 101 * 499
    wait_for(lambda: sum(storm.counts().values()) >= sent, lambda: f"{sent}: {storm.counts()}")
    assert storm.counts() == dict.fromkeys(ports, 499)
    assert len(storm.trace.incidents()) == 101


def test_a_cause_that_changes_meanwhile(storm: Storm) -> None:
    """Among more four-tuples than are renewed each second: the change has its evidence sent."""
    ports = range(22001, 22302)
    volley = Volley((LO, port) for port in ports)
    sender = storm.shown.udp(bind=(LO, 12))
    for _ in range(53):
        volley.send(sender)
    refusing = storm.shown.udp(bind=(LO, 22007))
    refusing.connect(("127.0.0.2", 12))
    for _ in range(59):
        volley.send(sender)
    wait_for(
        lambda: all(storm.counts()[port] == 53 + 59 for port in ports),
        lambda: f"112 times: {storm.counts()}",
    )
    told = {i["cause"]: i["count"] for i in storm.trace.incidents(dport=22007)}
    assert told == {"no-socket": 53, "remote-address": 59}


def test_what_comes_while_it_is_stopped(storm: Storm) -> None:
    """The buffer is full: evidence is lost and counted, no incident and no repeat is.

    And evidence that finds no room is not tried again for each datagram.
    """
    before, size = lost(storm.trace), storm.trace.resident_mb()
    os.kill(storm.trace.process.pid, signal.SIGSTOP)
    filling = Volley((LO, port) for port in range(1, 4000))
    filling.send(storm.other.udp(bind=(LO, 9)))
    ports = range(21001, 21008)
    repeated = Volley((LO, port) for port in ports)
    sender = storm.shown.udp(bind=(LO, 10))
    for _ in range(1009):
        repeated.send(sender)
    os.kill(storm.trace.process.pid, signal.SIGCONT)
    wait_for(
        lambda: all(storm.counts()[port] == 1009 for port in ports),
        lambda: f"7 times 1009: {storm.counts()}",
    )
    gone = {what: count - before.get(what, 0) for what, count in lost(storm.trace).items()}
    assert 0 < gone["miss"] < 4000 + 7 * 1009 // 2
    assert "uncounted" not in gone
    for incident in storm.trace.incidents(sport=10):
        assert incident["cause"] == "no-socket"
        assert any("lost" in caveat for caveat in incident["caveats"]), incident
    assert storm.trace.resident_mb() - size < GROWTH_MB


def test_renewing_evidence_has_a_budget(box: Namespace) -> None:
    """Of what goes on all the time; a miss after a pause of a second is not held back."""
    number = 499
    volley = Volley((LO, port) for port in range(30000, 30000 + number))
    sender = box.udp(bind=(LO, 13))
    with closing(Session(Variant())) as session:
        began = before = time.monotonic()
        events, sent, pauses = session.drain(), 0, 0
        while before < began + 4:
            now = time.monotonic()
            sent += volley.send(sender)
            # From before one of a four-tuple to after its next.
            pauses += time.monotonic() - before >= 1
            before = now
            events += session.drain()
        time.sleep(1.1)
        again = volley.send(sender)
        last = session.drain()
    own = [e for e in events if isinstance(e, Miss) and e.datagram.sport == 13]
    assert number < len(own) <= number * (1 + pauses) + RENEWALS * (before - began + 3)
    after = [e for e in last if isinstance(e, Miss) and e.datagram.sport == 13]
    assert len(after) == number
    assert max(e.total for e in after) == (sent + again) // number


def test_a_scan_that_no_table_holds(box: Namespace) -> None:
    """Each miss is told of by itself, in the table's counts, or in the count of those lost.

    Probes alone, since a whole trace takes minutes for it under emulation.
    """
    with closing(Session(Variant())) as session:
        scan = Volley((LO, port) for port in range(30000, 30000 + KEYS + 4001))
        sent = scan.send(box.udp(bind=(LO, 11)))
        events = session.drain()
    totals: dict[tuple[int, int], int] = {}
    for event in events:
        if isinstance(event, Miss | MissCount) and event.datagram.sport == 11:
            key = event.datagram.dport, event.since
            totals[key] = max(totals.get(key, 0), event.total)
    lost = {event.what: event.count for event in events if isinstance(event, Loss)}
    assert sum(totals.values()) + lost["uncounted"] == sent == box.counters()["UdpNoPorts"]
    assert lost["uncounted"] <= lost["key"] == sent - KEYS
    assert not session.behind
