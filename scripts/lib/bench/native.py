"""The processor time and memory of a start up to attaching, which any machine with BTF can do."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.checkout import run_python
from bench.figures import MEGABYTES, SECONDS, Figure

TOPIC = "start up to attaching, natively"
RUNS = 5

PREPARE = """
import json, resource, sys
from pathlib import Path
BOTH = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
def spent():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, BOTH))
began = spent()
import tracer.cli.main, tracer.cli.live
from tracer.kernel import cache
from tracer.kernel.definitions import read_definitions
from tracer.kernel.program import Program, Variant
cache.DIRECTORY = Path(sys.argv[1])
imported = spent()
layout = read_definitions()
read = spent()
Program(layout, Variant()).close()
cold = spent()
Program(layout, Variant()).close()
warm = spent()
kilobytes = [resource.getrusage(who).ru_maxrss for who in BOTH]
print(json.dumps({
    "imports": imported - began,
    "BTF offsets": read - imported,
    "compile": cold - read,
    "load what was compiled before": warm - cold,
    "all, cold": cold - began,
    "all, warm": read - began + warm - cold,
    "peak memory": max(kilobytes) / 1000,
}))
"""


def figures() -> Iterator[Figure]:
    """Median seconds of a processor for each step, and the largest peak memory."""
    runs = [_run() for _ in range(RUNS)]
    for step in runs[0]:
        values = [run[step] for run in runs]
        if step == "peak memory":
            yield Figure(TOPIC, step, "figure", max(values), MEGABYTES)
        else:
            yield Figure(TOPIC, step, "figure", statistics.median(values), SECONDS)


def _run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        done = run_python(PREPARE, Path(directory, "cache"))
    steps: dict[str, float] = json.loads(done.stdout)
    return steps
