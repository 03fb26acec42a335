"""The demo's inside: udptrace live, the incident beside it, then the recording and its replay.

usage: demo.py --keep RECORDING -- UDPTRACE-COMMAND...
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import incident

# One of run A, two of run B.
INCIDENTS = 3


def say(text: str) -> None:
    """A line of narration, apart from the results."""
    print(f"# {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def tracing(
    udptrace: list[str], recording: str, directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A live trace that ends by itself after INCIDENTS; yields when every probe is proven."""
    ready = directory / "ready"
    arguments = ["live", "-w", recording, "--ready-file", str(ready), "--count", str(INCIDENTS)]
    say(f"$ udptrace {' '.join(arguments[:3])}")
    trace = subprocess.Popen([*udptrace, *arguments])
    try:
        incident.wait_until("udptrace's start", lambda: ready.exists() or trace.poll() is not None)
        yield trace
    finally:
        # Ctrl-C in a terminal has reached the trace as well: it is given time to end by itself.
        for number in (None, signal.SIGINT, signal.SIGKILL):
            if number is not None and trace.poll() is None:
                trace.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                trace.wait(10)


def play(udptrace: list[str], recording: str) -> int:
    """Live trace and incident; returns the trace's exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="udptrace-demo-") as name,
        tracing(udptrace, recording, Path(name)) as trace,
    ):
        if trace.poll() is not None:
            return int(trace.returncode)
        with incident.Lab(say=say) as lab:
            say("run A: the client sends twice")
            incident.run_a(lab)
            say("run B: the server answers")
            incident.run_b(lab)
        return int(trace.wait(incident.DEADLINE_S))


def main(arguments: list[str]) -> int:
    """Exit status 0 when the incident was played, explained and replayed."""
    if arguments[:1] != ["--keep"] or "--" not in arguments:
        print(__doc__, file=sys.stderr)
        return 2
    recording, udptrace = arguments[1], arguments[arguments.index("--") + 1 :]
    try:
        status = play(udptrace, recording)
    except (incident.IncidentError, OSError, subprocess.TimeoutExpired) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if status:
        return status
    with open(recording, encoding="utf-8") as lines:
        count = sum(1 for _ in lines)
    say(f"the evidence it kept: {count} events, {os.path.getsize(recording)} bytes")
    say("replayed from that file, which needs no root, no BCC and no Linux:")
    say(f"$ udptrace replay {os.path.basename(recording)}")
    return subprocess.run([*udptrace, "replay", recording], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
