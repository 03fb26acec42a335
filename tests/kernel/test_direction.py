"""--direction in: what the targets did not take, and in the kernel nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.kernel.live import Live
from tests.kernel.net import Namespace


def test_other_namespaces_misses_are_dropped_in_the_kernel(box: Namespace, tmp_path: Path) -> None:
    with Namespace("else") as other:
        trace = Live(tmp_path, "-N", box.name, "--direction", "in")
        try:
            other.udp(connect=("127.0.0.1", 7261)).send(b"nobody")
            box.udp(connect=("127.0.0.1", 7262)).send(b"nobody")
            incident = trace.incident(dport=7262)
            assert incident["cause"] == "no-socket"
            assert incident["told"][0]["error"] == "ECONNREFUSED"
        finally:
            trace.stop()
        evidence = trace.recording.read_text()
        assert '"dport":7262' in evidence
        # Of the other namespace connects are kept, misses are not.
        misses = [line for line in evidence.splitlines() if line.startswith('{"kind":"miss"')]
        assert misses
        assert not any('"dport":7261' in line for line in misses)
        assert '"pport":7261' in evidence
        whole = subprocess.run(
            ["udptrace", "replay", "-f", "json", "-N", "all", str(trace.recording)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert '"dport": 7261' not in whole
