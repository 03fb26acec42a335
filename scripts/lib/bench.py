"""The figures of scripts/bench: seconds and memory natively, guest instructions in the VM.

usage: bench.py [--no-vm | --report]
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from big_recording import EVENTS, write
from tabulate import tabulate

TOP = Path(__file__).resolve().parents[2]
RUNS = 5

# All that a start does before it attaches, which any machine with BTF can do.
PREPARE = """
import json, resource, time
began = time.perf_counter()
import tracer.cli.main, tracer.cli.live
from tracer.kernel.program import Program, Variant, import_bcc, read_definitions
bcc = import_bcc()
imported = time.perf_counter()
layout = read_definitions()
read = time.perf_counter()
Program(bcc, layout, Variant())
compiled = time.perf_counter()
print(json.dumps({
    "imports": imported - began,
    "BTF offsets": read - imported,
    "compile": compiled - read,
    "all before attaching": compiled - began,
    "peak memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
}))
"""

# `udptrace report` on a file, with its peak memory in kilobytes as the last line on stderr.
REPORT = """
import resource, sys
from tracer.cli.main import main
try:
    main(["report", sys.argv[1]])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""

# What a start prints with --verbose: "  compile  5.61 s".
PHASE = re.compile(r"^\s*(?:udptrace: )?(?P<name>[\w -]+?):?\s+(?P<seconds>\d+\.\d+) s$")


def native() -> list[list[str]]:
    """Median seconds of the steps before attaching, and the largest peak memory."""
    runs = []
    for _ in range(RUNS):
        done = subprocess.run(
            ["/usr/bin/python3", "-c", PREPARE],
            capture_output=True,
            text=True,
            check=False,
            cwd=TOP,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        if done.returncode:
            raise SystemExit(f"bench: {done.stderr.strip().splitlines()[-1]}")
        runs.append(json.loads(done.stdout))
    rows = [
        [name, f"{statistics.median(run[name] for run in runs):.2f} s"]
        for name in runs[0]
        if name != "peak memory"
    ]
    peak = max(run["peak memory"] for run in runs)
    targets = {"all before attaching": "< 0.70 s"}
    return [
        *([*row, targets.get(row[0], "")] for row in rows),
        ["peak memory", f"{peak:.0f} MB", "<= 130 MB"],
    ]


def in_vm() -> list[list[str]]:
    """Guest instructions of each phase of a whole start: with -icount a nanosecond is one.

    The second start counts: a wait for the disk, which the first one has, passes guest time too.
    """
    start = "udptrace live -v --duration 0.1 >/dev/null"
    done = subprocess.run(
        [str(TOP / "scripts/vm"), "--icount", "--", "sh", "-c", f"{start} 2>&1; {start}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"bench: the VM's run failed: {done.stderr.strip()}")
    phases = [m for line in done.stderr.splitlines() if (m := PHASE.match(line))]
    rows = [(m["name"], float(m["seconds"]) * 1000) for m in phases]
    rows.append(("all", sum(millions for _, millions in rows)))
    return [[name, f"{millions:,.0f} million"] for name, millions in rows]


def report() -> list[list[str]]:
    """What `udptrace report` takes for a large recording, and for one of a quarter of its size.

    Memory that is flat in a file's length is the same for both.
    """
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "big.udptrace"
        for events, targets in ((EVENTS // 4, ("", "")), (EVENTS, ("< 20 s", "< 200 MB"))):
            with path.open("wb") as file:
                write(file, events)
            began, used = time.monotonic(), _processor()
            done = subprocess.run(
                ["/usr/bin/python3", "-c", REPORT, str(path)],
                capture_output=True,
                text=True,
                check=False,
                cwd=TOP,
                env={**os.environ, "PYTHONPATH": str(TOP)},
            )
            took, used = time.monotonic() - began, _processor() - used
            if done.returncode:
                raise SystemExit(f"bench: {done.stderr.strip().splitlines()[-1]}")
            peak = int(done.stderr.splitlines()[-1]) / 1000
            rows.append([f"{events:,} events", f"{took:.1f} s", targets[0]])
            rows.append(["  of a processor", f"{used:.1f} s", ""])
            rows.append(["  peak memory", f"{peak:.0f} MB", targets[1]])
    return rows


def _processor() -> float:
    """Seconds of processor time of the commands run so far: what a busy machine cannot change."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> int:
    """Print the tables."""
    if "--report" not in arguments:
        start(in_a_vm="--no-vm" not in arguments)
        print()
    print(tabulate(report(), headers=["report", "figure", "target"], tablefmt="simple"))
    return 0


def start(*, in_a_vm: bool) -> None:
    """Print what a start costs."""
    print(tabulate(native(), headers=["start, natively", "median", "target"], tablefmt="simple"))
    if in_a_vm:
        print()
        print(tabulate(in_vm(), headers=["start, kernel 6.12", "guest instructions"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
