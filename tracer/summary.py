"""The line that proves that a trace lives."""

from __future__ import annotations

from tracer.totals import Stats


def status_line(stats: Stats, age_ns: int) -> str:
    """ "30 s: 0 misses, 41 sockets, 3 probes proven" of a trace that has lasted so long."""
    counts = [_many(stats.misses, "miss", "misses")]
    if stats.incidents:
        counts[0] += f" in {_many(stats.incidents, 'incident')}"
    counts += [_many(stats.sockets, "socket"), f"{_many(stats.probes, 'probe')} proven"]
    return f"{age_ns // 1_000_000_000} s: {', '.join(counts)}"


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
