"""Clock anchors, and times as UTC text with nanoseconds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache

from tracer.events import Clock, Header
from tracer.frozen import frozen

NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@frozen
class Anchor:
    """Three clocks read together, in nanoseconds: what turns the others into UTC."""

    monotonic: int
    realtime: int
    boottime: int

    @classmethod
    def of(cls, event: Header | Clock) -> Anchor:
        """The anchor that an event carries."""
        return cls(event.time, event.realtime_ns, event.boottime_ns)

    def utc(self, monotonic: int) -> int:
        """Nanoseconds since 1970 UTC of a CLOCK_MONOTONIC time."""
        return self.realtime + monotonic - self.monotonic

    def utc_of_boottime(self, boottime: int) -> int:
        """Nanoseconds since 1970 UTC of a CLOCK_BOOTTIME time (a process's start)."""
        return self.realtime + boottime - self.boottime


def utc_text(ns: int) -> str:
    """``2026-11-22T12:03:44.128123456Z``; beyond the calendar, seconds as date(1) takes them."""
    seconds, nanoseconds = divmod(ns, NS)
    text = _second_text(seconds)
    return f"{text}.{nanoseconds:09d}Z" if text else f"@{seconds}.{nanoseconds:09d}"


@lru_cache(maxsize=256)  # an incident has eight times in it, most of them of the same seconds
def _second_text(seconds: int) -> str:
    """Empty beyond the calendar."""
    try:
        return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"
    except OverflowError:
        return ""


def date_text(ns: int) -> str:
    """The UTC date of a time: ``2026-11-22``."""
    return utc_text(ns).partition("T")[0]


def clock_text(ns: int) -> str:
    """The UTC time of day, to the millisecond: ``12:03:44.128``."""
    return utc_text(ns).partition("T")[2][:12] or utc_text(ns)


def duration_text(ns: int) -> str:
    """A span of time, to three digits at most: ``340 us``, ``12.5 ms``, ``3.2 s``."""
    for unit, size in (("s", NS), ("ms", 1_000_000)):
        if abs(ns) >= size:
            value = ns / size
            return f"{value:.0f} {unit}" if abs(value) >= 99.95 else f"{value:.1f} {unit}"
    return f"{ns // 1000} us"
