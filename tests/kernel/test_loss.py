"""What the ring buffer could not take is counted in the kernel, exactly, shown and recorded.

Before the shared trace begins, which would lose its part of the burst as well.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from tests.kernel.live import Live, lost, wait_for
from tests.kernel.net import Namespace
from tracer.events import Call, Close
from tracer.recording.joined import Joined
from tracer.system.netns import Netns, in_netns

# More records than a megabyte holds while nobody reads: a prime number of them.
BINDS = 6007


def test_losses_are_counted_exactly(tmp_path: Path, box: Namespace) -> None:
    # Rotated, which must neither lose nor double one of them.
    trace = Live(tmp_path, "--max-size", "256K")
    os.kill(trace.process.pid, signal.SIGSTOP)
    _bind_and_close(box)
    os.kill(trace.process.pid, signal.SIGCONT)
    # Only then is there room again: what comes earlier may be lost too.
    wait_for(lambda: lost(trace), "a loss line")
    box.udp().sendto(b"afterwards", ("127.0.0.1", 7201))
    incident = trace.incident(dport=7201)
    assert incident["cause"] == "no-socket"
    trace.stop()
    gone = lost(trace)
    kept = _kept(trace.parts(), box.inum)
    assert len(trace.parts()) > 1
    assert kept["bind"] + gone["call"] == BINDS
    assert kept["close"] + gone["close"] >= BINDS
    assert gone["call"] > 0
    summary = " ".join(trace.stderr().split())
    assert f"lost: {gone['call']} connect" in summary


def _bind_and_close(namespace: Namespace) -> None:
    def work() -> None:
        for _ in range(BINDS):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("127.0.0.1", 0))

    in_netns(Netns(namespace.inum, namespace.name, f"/run/netns/{namespace.name}"), work)


def _kept(parts: list[Path], netns: int) -> dict[str, int]:
    """The records of binds and closes in a namespace that the recording holds."""
    kept = {"bind": 0, "close": 0}
    with Joined(tuple(map(str, parts))) as recording:
        for event in recording:
            if isinstance(event, Call) and event.op == "bind":
                kept["bind"] += event.after.netns == netns
            elif isinstance(event, Close):
                kept["close"] += event.socket.netns == netns
    return kept
