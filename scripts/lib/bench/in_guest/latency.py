"""How long after the ICMP a verdict is printed."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import SECONDS, Figure
from bench.in_guest.traffic import NOBODY, PROGRAM

TOPIC = "verdict"
INCIDENTS = 300

PATIENCE = "2m"
"""Many times what they take: the trace ends by itself once it has them all."""


def figures() -> Iterator[Figure]:
    """Guest seconds from the ICMP to the line that is read from a pipe, of some hundred incidents.

    Each miss is held for --settle, for what belongs to it: most of this time is that.
    """
    for row, options in (("default", []), ("--settle 20ms", ["--settle", "20ms"])):
        took = _latencies(options)
        if len(took) != INCIDENTS:
            raise SystemExit(f"bench: {len(took)} verdicts of {INCIDENTS} misses")
        yield Figure(TOPIC, row, "the first one", took[0], SECONDS)
        took.sort()
        yield Figure(TOPIC, row, "p50", statistics.median(took), SECONDS)
        yield Figure(TOPIC, row, "p99", took[len(took) * 99 // 100], SECONDS)


def _latencies(options: list[str]) -> list[float]:
    """In the order of the incidents."""
    with tempfile.TemporaryDirectory() as directory:
        ready = Path(directory, "ready")
        command = ["udptrace", "live", "-f", "json", "--ready-file", str(ready)]
        command += ["--count", str(INCIDENTS), "--duration", PATIENCE, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            while not ready.exists() and process.poll() is None:
                time.sleep(0.01)
            with subprocess.Popen([PROGRAM, "trickle", str(INCIDENTS), str(NOBODY)]):
                assert process.stdout is not None
                return [
                    (time.monotonic_ns() - line["mono_ns"]) / 1e9
                    for line in map(json.loads, process.stdout)
                    if line["kind"] == "incident" and line["seq"] == 1
                ]
