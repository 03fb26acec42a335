"""What a start costs, and how large a tracer is then."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import MEGABYTES, MILLIONS, Figure
from bench.in_guest import tracers

TOPIC = "start"
READY, PEAK, STEADY = "until it traces, million instructions", "peak memory", "memory after"

CACHE = Path("/var/cache/udptrace")
"""Where a start may keep what the next one need not compile again."""

SETTLED_S = 3
"""From when it traces to when its memory is taken to be what it stays."""

PEERS = (tracers.TCPCONNECT, tracers.TCPDROP, tracers.BPFTRACE_SCRIPT)


def figures() -> Iterator[Figure]:
    """Guest time of starts, in which a nanosecond is an instruction, and memory.

    Each is started twice, and the second time counts: the first one reads files from the disk.
    """
    with tracers.running(tracers.DEFAULT):
        pass
    shutil.rmtree(CACHE, ignore_errors=True)
    yield from _start("udptrace, cold", tracers.DEFAULT)
    yield from _start("udptrace, warm", tracers.DEFAULT)
    for peer in PEERS:
        with tracers.running(peer):
            pass
        yield from _start(peer.name, peer)


def _start(row: str, tracer: tracers.Tracer) -> Iterator[Figure]:
    with tracers.running(tracer) as started:
        time.sleep(SETTLED_S)
        steady_kb = _resident_kb(started.pid)
    yield Figure(TOPIC, row, READY, started.started_ns / 1e6, MILLIONS)
    yield Figure(TOPIC, row, PEAK, started.peak_kb * 1024 / 1e6, MEGABYTES)
    yield Figure(TOPIC, row, STEADY, steady_kb * 1024 / 1e6, MEGABYTES)


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found, status
    return int(found[1])
