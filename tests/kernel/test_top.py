"""`top` in a real kernel: who misses most comes first, and no miss is lost or counted twice."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.kernel.live import DEADLINE_S, SETTLE, Json, wait_for
from tests.kernel.net import Namespace
from tracer.system.sockets import udp_sockets

STORM, FEW, SERVED, PEER = 7501, 7502, 7503, 7504
MANY = 211


def send(sender: socket.socket, count: int) -> None:
    """Send so many: a send that only fetches the error of the one before sends nothing."""
    while count:
        with suppress(ConnectionRefusedError):
            sender.send(b"nobody")
            count -= 1


def drops_of(box: Namespace, port: int) -> int | None:
    found = box.inside(lambda: udp_sockets(box.inum, 0)).details
    (dropped,) = [d.drops for d in found if d.view.lport == port]
    return dropped


def rows_of(printed: str) -> list[list[Json]]:
    """The rows of each interval."""
    intervals: list[list[Json]] = []
    for line in map(json.loads, printed.splitlines()):
        if line["kind"] == "interval":
            intervals.append([])
        else:
            intervals[-1].append(line)
    return intervals


def test_the_worst_flow_is_first_and_every_miss_is_counted(box: Namespace, tmp_path: Path) -> None:
    local = "127.0.0.1"
    peer = box.udp(bind=(local, PEER))
    refusing = box.udp(bind=(local, STORM), connect=(local, PEER))
    refusing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    box.udp(bind=(local, SERVED))  # takes what it is sent
    ready, out = tmp_path / "ready", tmp_path / "out"
    with out.open("w") as printed, subprocess.Popen(
        ["udptrace", "top", "-f", "json", "-N", box.name, "--interval", "1s", "--settle", SETTLE,
         "--ready-file", str(ready)],
        stdout=printed,
    ) as top:  # fmt: skip
        wait_for(lambda: ready.exists() or top.poll() is not None, "the ready file")
        # The first interval's reading is what later drops are counted from.
        wait_for(lambda: out.read_text().count('"interval"') > 1, "two intervals")
        send(box.udp(connect=(local, FEW)), 5)
        send(box.udp(connect=(local, STORM)), MANY)
        send(box.udp(connect=(local, SERVED)), 30)
        for _ in range(50):
            peer.sendto(b"x" * 1000, (local, STORM))
        dropped = drops_of(box, STORM)
        wait_for(lambda: out.read_text().count('"rank": 2') > 1, "both flows in two intervals")
        top.send_signal(signal.SIGINT)
        assert top.wait(DEADLINE_S) == 0
    intervals = rows_of(out.read_text())
    worst, few = intervals[-1]
    assert (worst["datagram"]["dport"], few["datagram"]["dport"]) == (STORM, FEW)
    assert worst["cause"] == "remote-port"
    assert worst["socket"]["local"] == f"{local}:{STORM}"
    assert (worst["misses"]["total"], few["misses"]["total"]) == (MANY, 5)
    assert few["errors"]["total"] == 5
    assert dropped is not None
    assert dropped > 0
    assert worst["drops"]["total"] == dropped
    assert few["drops"]["total"] is None
    # Nothing of what was taken, in any interval.
    assert {row["datagram"]["dport"] for rows in intervals for row in rows} == {STORM, FEW}
