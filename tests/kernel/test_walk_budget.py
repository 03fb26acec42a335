"""A scan cannot turn walks into a load: what went without one says so, and is completed.

Before the shared trace begins, whose budget the scan would use up as well.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.kernel.crowds import crowd
from tests.kernel.live import Live, wait_for
from tests.kernel.net import Namespace
from tests.kernel.test_many import LO, SLOTS, peer

CROWD = 200
"""Sockets in the slot, all on another port: so many nodes are visited, which is a whole walk."""

BURST = 120_000
"""Nodes that may be visited at once: bpf/walk.c."""

RATE = 20_000
"""... and a second after that."""

UNREAD = f"the {CROWD} sockets of the port's hash slot were not read at the miss"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A trace of these tests' own."""
    live = Live(tmp_path_factory.mktemp("budget"))
    yield live
    live.stop()


def test_a_scan_uses_the_budget_up_lookalike_it_does_not(trace: Live, box: Namespace) -> None:
    with crowd(box, (LO, 7530 + SLOTS), [peer(n, 6530) for n in range(CROWD)]):
        _scan(box, 7530, 100)
        wait_for(lambda: len(trace.incidents(dport=7530)) == 100, "every miss")
    for incident in trace.incidents(dport=7530):
        assert incident["lookup"]["visited"] == CROWD
        assert incident["lookup"]["truncated"] is False
        assert (incident["certain"], incident["caveats"]) == (True, [])


def test_a_scan_uses_the_budget_up(trace: Live, box: Namespace) -> None:
    number = 1500
    with crowd(box, (LO, 7531 + SLOTS), [peer(n, 6530) for n in range(CROWD)]):
        began = time.monotonic()
        _scan(box, 7531, number)
        took = time.monotonic() - began
        wait_for(lambda: len(trace.incidents(dport=7531)) == number, "every miss")
    incidents = trace.incidents(dport=7531)
    assert {incident["cause"] for incident in incidents} == {"no-socket"}
    walked = [i for i in incidents if i["lookup"]["visited"]]
    # Emulated on a busy machine the scan can be so slow that the budget nearly keeps up with it.
    assert BURST // CROWD - 100 <= len(walked) <= (BURST + RATE * took) / CROWD + 1
    assert all(i["caveats"] == [] for i in walked)
    said = [" ".join(i["caveats"]) for i in incidents if not i["lookup"]["visited"]]
    assert all(text.startswith(UNREAD) for text in said)
    assert not said or any("shows no others on the port" in text for text in said)


def _scan(box: Namespace, port: int, sources: int) -> None:
    """One datagram to the port from each of so many addresses, all on one processor."""
    sock = box.udp()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        for number in range(sources):
            source = socket.inet_aton(peer(number, port)[0])
            chosen = struct.pack("=i4s4s", 0, source, bytes(4))  # struct in_pktinfo
            sock.sendmsg([b"x"], [(socket.IPPROTO_IP, IP_PKTINFO, chosen)], 0, (LO, port))
    finally:
        os.sched_setaffinity(0, before)


# The socket module names it from Python 3.14 on.
IP_PKTINFO = 8
