"""What a listing of 100,000 sockets costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.figures import MEGABYTES, MILLIONS, Figure
from bench.in_guest.traffic import holding

TOPIC = "listing of 100,000 sockets"
TAKES, PEAK = "million instructions", "peak memory"

# No process of a shell may hold more descriptors than this many of a hundred thousand.
HOLDERS, EACH = 10, 10_000

LISTING = (sys.executable, "-m", "tracer", "sockets")
COMMANDS = {
    "ss -nua": ("ss", "-nua"),
    "ss -nuap": ("ss", "-nuap"),
    "udptrace sockets": LISTING,
    "udptrace sockets, ss -nua's columns": (*LISTING, "--columns", "state,rx,tx,local,peer"),
}


def figures() -> Iterator[Figure]:
    """Guest time, in which a nanosecond is an instruction, and peak memory."""
    for command in COMMANDS.values():
        _measured(command)  # so that later no disk is waited for, and nothing compiled
    with ExitStack() as held:
        for number in range(HOLDERS):
            held.enter_context(holding(EACH, 6000 + number))
        for row, command in COMMANDS.items():
            took, peak = _measured(command)
            yield Figure(TOPIC, row, TAKES, took / 1e6, MILLIONS)
            yield Figure(TOPIC, row, PEAK, peak * 1024 / 1e6, MEGABYTES)


def _measured(command: tuple[str, ...]) -> tuple[int, int]:
    """Nanoseconds, and kilobytes at most."""
    began = time.monotonic_ns()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: {' '.join(command)} ended with {process.returncode}")
    return time.monotonic_ns() - began, usage.ru_maxrss
