"""What a loss casts doubt on, in words: one line for each kind of loss."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.report.model import Trace

DOUBTS = {
    "call": "who set a value, when and from what; sockets may look older than they are",
    "close": "what was `closed` may be told as `no-socket`",
    "error": "who was told may be missing",
    "miss": "repeats are counted, but their sockets were not looked at",
    "candidate": "the nearest socket may not be the one named",
    "key": "repeats may be missing from the counts",
    "inflight": "calls are missing: as for lost connect and bind records",
    "netns": "misses are missing altogether",
    "fate": "whether an ICMP left is not known for some",
    "created": "nothing: only `udptrace states` shows when a socket was made",
    "received": "what other machines refused may be told late, or without who was told",
    "uncounted": "misses are missing altogether, as where no netns could be read",
    "packet": "an export has reconstructed headers for some datagrams",
}
"""By the names of `events.LOSSES`."""


def doubts(trace: Trace) -> Iterator[str]:
    """What else of a trace to keep in mind: files, probes, clocks."""
    for part in trace.parts:
        yield from part.problems
        if part.overlap:
            yield (
                f"{part.path}: {part.overlap} misses and errors are of a time that the file before"
                " has, too, and were left out; counts of repeats may hold some twice"
            )
    gone = trace.stats.forgotten
    if gone:
        what = ", ".join(f"{count} {name}" for name, count in gone.items())
        yield f"forgotten to bound memory: {what}; verdicts that needed them say less"
