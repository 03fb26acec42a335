"""What many misses at once cost, and whether all are accounted for, as scripts/stress does it."""

from __future__ import annotations

from collections.abc import Iterator

from stress import Counted, scan, storm

from bench.figures import COUNT, MEGABYTES, MILLIONS, Figure

TOPIC = "storm"
STORM, SCAN = "a million misses, 1,000 four-tuples", "a scan of 100,000 ports"
UNACCOUNTED, A_SECOND = "neither told nor said to be lost", "million instructions a second"


def figures() -> Iterator[Figure]:
    """As fast as one processor can send, trace and read what is told."""
    yield from _figures(STORM, storm(1_000_000, 1000))
    yield from _figures(SCAN, scan(100_000))


def _figures(row: str, made: Counted) -> Iterator[Figure]:
    sizes = [resident for _, resident, _ in made.tracer.seen]
    yield Figure(TOPIC, row, "misses a second", made.no_ports / made.over_s, COUNT)
    yield Figure(TOPIC, row, "said to be lost", made.unkept, COUNT)
    yield Figure(TOPIC, row, UNACCOUNTED, made.unaccounted, COUNT)
    yield Figure(TOPIC, row, A_SECOND, made.used_s / made.over_s * 1000, MILLIONS)
    yield Figure(TOPIC, row, "memory at first", sizes[0], MEGABYTES)
    yield Figure(TOPIC, row, "memory at most", max(sizes), MEGABYTES)
