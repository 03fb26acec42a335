"""What many misses at once cost, and whether all are accounted for, as scripts/stress does it."""

from __future__ import annotations

from collections.abc import Iterator

from stress import Counted, scan, storm

from bench.figures import COUNT, MEGABYTES, MILLIONS, Figure
from bench.targets import A_SECOND, SCAN, SHOT, STORM, UNACCOUNTED


def figures() -> Iterator[Figure]:
    """As fast as one processor can send, trace and read what is told."""
    yield from _figures(SHOT, storm(1_000_000, 1000))
    yield from _figures(SCAN, scan(100_000))


def _figures(row: str, made: Counted) -> Iterator[Figure]:
    sizes = [resident for _, resident, _ in made.tracer.seen]
    yield Figure(STORM, row, "misses a second", made.no_ports / made.over_s, COUNT)
    yield Figure(STORM, row, "said to be lost", made.unkept, COUNT)
    yield Figure(STORM, row, UNACCOUNTED, made.unaccounted, COUNT)
    yield Figure(STORM, row, A_SECOND, made.used_s / made.over_s * 1000, MILLIONS)
    yield Figure(STORM, row, "memory at first", sizes[0], MEGABYTES)
    yield Figure(STORM, row, "memory at most", max(sizes), MEGABYTES)
