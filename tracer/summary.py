"""The line that proves that a trace lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # many() is used where no trace is
    from tracer.totals import Stats


def status_line(stats: Stats, age_ns: int) -> str:
    """ "30 s: 0 misses, 41 sockets, 3 probes proven" of a trace that has lasted so long."""
    counts = [many(stats.misses, "miss", "misses")]
    if stats.incidents:
        counts[0] += f" in {many(stats.incidents, 'incident')}"
    counts += [many(stats.sockets, "socket"), f"{many(stats.probes, 'probe')} proven"]
    if stats.silent:
        counts.append(f"{stats.silent} died silently")
    return f"{age_ns // 1_000_000_000} s: {', '.join(counts)}"


def many(count: int, one: str, several: str = "") -> str:
    """A count and its noun: "1 socket", "2 sockets"."""
    return f"{count} {one if count == 1 else several or one + 's'}"
