"""A flight recorder in a real kernel, with no probe on the receive path: written on an incident,
and asked for its metrics."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

from tests.kernel.live import DEADLINE_S, SETTLE, run, wait_for
from tests.kernel.net import Namespace


def test_an_incident_is_written_with_what_led_to_it(box: Namespace, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with subprocess.Popen(
        ["udptrace", "record", "--ring", "1m", "--trigger", "remote-port", "--settle", SETTLE,
         "--metrics", ":9435", "-w", str(tmp_path / "ring.gz"), "--ready-file", str(ready)],
    ) as process:  # fmt: skip
        wait_for(ready.exists, "the ready file")
        server = box.udp(bind=("127.0.0.1", 7301))
        server.connect(("127.0.0.1", 7302))
        box.udp(connect=("127.0.0.1", 7301)).send(b"refused")
        wait_for(lambda: list(tmp_path.glob("ring.*.0001.gz")), "a file of the ring")
        with urllib.request.urlopen("http://127.0.0.1:9435/metrics") as answer:
            metrics = answer.read().decode().splitlines()
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    place = f'{{cause="remote-port",container="",netns="{box.name}"}}'
    assert f"udptrace_incidents_total{place} 1.0" in metrics
    assert f"udptrace_misses_total{place} 1.0" in metrics
    assert 'udptrace_losses_total{what="miss"} 0.0' in metrics
    assert 'udptrace_probes{state="missing"} 0.0' in metrics
    first, _ = sorted(tmp_path.glob("ring.*"))
    printed = run("replay", "-f", "json", "--port", "7301", str(first)).stdout.splitlines()
    header, *_ = lines = [json.loads(line) for line in printed]
    assert not any("lib_lookup2" in probe for probe in header["probes"])
    (incident,) = (line for line in lines if line["kind"] == "incident")
    assert incident["cause"] == "remote-port"
    assert incident["lookup"]["passes"] is None
    assert incident["socket"]["connect"]["requested"] == "127.0.0.1:7302"
