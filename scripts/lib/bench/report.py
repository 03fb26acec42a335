"""What `udptrace report` takes for a large recording, and for one of a quarter of its size."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.big_recording import EVENTS, write
from bench.checkout import run_python
from bench.figures import MEGABYTES, SECONDS, Figure

TOPIC = "report"

# `udptrace report` on a file, with its peak memory in kilobytes as the last line on stderr.
REPORT = """
import resource, sys
from tracer.cli.main import main
try:
    main(["report", sys.argv[1]])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def figures() -> Iterator[Figure]:
    """Seconds and memory, natively. Memory that is flat in a file's length is the same for both."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "big.udptrace"
        for events in (EVENTS // 4, EVENTS):
            with path.open("wb") as file:
                write(file, events)
            took, used, peak = _measured(path)
            row = f"{events:,} events"
            yield Figure(TOPIC, row, "took", took, SECONDS)
            yield Figure(TOPIC, row, "of a processor", used, SECONDS)
            yield Figure(TOPIC, row, "peak memory", peak, MEGABYTES)


def _measured(path: Path) -> tuple[float, float, float]:
    """Seconds, seconds of a processor, megabytes at most."""
    began, used = time.monotonic(), _processor()
    done = run_python(REPORT, path)
    took, used = time.monotonic() - began, _processor() - used
    return took, used, int(done.stderr.splitlines()[-1]) / 1000


def _processor() -> float:
    """Seconds of processor time of the commands run so far: what a busy machine cannot change."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
