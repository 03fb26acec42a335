"""The shared trace's own recording, replayed. After all that use it, for its end is here."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
from ipaddress import ip_address

import pytest

from tests.kernel.live import Live, run
from tracer.events import IcmpReceived, Miss
from tracer.recording.joined import Joined


@pytest.fixture(scope="module", autouse=True)
def _ended(live: Live) -> None:
    """It takes long to replay: that is done here, and once."""
    Live.unchecked.remove(live)
    printed = live.stop()
    assert live.process.returncode == 0, live.stderr()
    assert printed.count(b'"kind": "incident"')


def test_replay_prints_text(live: Live) -> None:
    text = run("replay", str(live.recording))
    assert text.returncode == 0, text.stderr
    assert "remote-address" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 80
    # Names that would move a terminal's cursor are among them (test_hostile.py).
    assert all(line.isprintable() for line in text.stdout.split("\n"))


def test_the_summary_says_that_nothing_was_lost(live: Live) -> None:
    last = json.loads(live.lines[-1])
    assert last["kind"] == "end"
    summary = " ".join(live.stderr().split())
    assert "nothing lost" in summary, summary[-2000:]


def test_a_replay_prints_the_same_bytes_and_needs_neither_root_nor_bcc(live: Live) -> None:
    blocked = "import sys; sys.modules['bcc'] = None; from tracer.cli.main import main; main()"
    with tempfile.NamedTemporaryFile(prefix="udptrace-") as copy:
        copy.write(live.recording.read_bytes())
        copy.flush()
        os.fchmod(copy.fileno(), 0o644)
        done = subprocess.run(
            [sys.executable, "-c", blocked, "replay", "-f", "json", copy.name],
            capture_output=True,
            user=65534,
            env={**os.environ, "PYTHONPATH": "/src"},
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"".join(live.lines)


def test_every_datagram_is_kept_with_its_headers_and_no_more(live: Live) -> None:
    """Whatever was before its UDP header: options, extension headers, fragments put together."""
    with Joined((str(live.recording),)) as recording:
        events = [event for event in recording if isinstance(event, (Miss, IcmpReceived))]
    assert {event.datagram.family for event in events} == {"ipv4", "ipv6"}
    for event in events:
        assert event.packet is not None, event
        kept, d = bytes.fromhex(event.packet), event.datagram
        addresses = kept[12:20] if d.family == "ipv4" else kept[8:40]
        assert addresses == b"".join(ip_address(end).packed for end in (d.src, d.dst)), event
        assert struct.unpack("!HHH", kept[-8:-2]) == (d.sport, d.dport, d.length), event
