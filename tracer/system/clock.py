"""Clock anchors: three clocks read together, and the boot they belong to."""

from __future__ import annotations

import time
from pathlib import Path

from tracer.events import Clock

_ATTEMPTS = 8


def read_clock() -> Clock:
    """CLOCK_MONOTONIC, REALTIME and BOOTTIME (ns) as of one moment.

    Being scheduled away between two reads would shift one against the other, so the tightest of
    several tries is taken: natively within a microsecond.
    """
    return min((_triple() for _ in range(_ATTEMPTS)), key=lambda taken: taken[0])[1]


def _triple() -> tuple[int, Clock]:
    """One try, and how long it took in nanoseconds."""
    before = time.monotonic_ns()
    realtime = time.time_ns()
    boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    after = time.monotonic_ns()
    return after - before, Clock((before + after) // 2, realtime, boottime)


def boot_id() -> str:
    """The kernel's random name of this boot; empty where /proc does not tell it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
