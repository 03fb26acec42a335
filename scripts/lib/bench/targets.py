"""The targets, each beside the figure it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.figures import Figure

LISTING, TAKES = "listing of 100,000 sockets", "million instructions"
LIKE_SS = "udptrace sockets, ss -nua's columns"
STORM, SHOT, SCAN = "storm", "a million misses, 1,000 four-tuples", "a scan of 100,000 ports"
UNACCOUNTED, A_SECOND = "neither told nor said to be lost", "million instructions a second"

FIXED = {
    ("received datagram", "udptrace", "added on its path"): 850,
    ("received datagram", "udptrace, another netns's", "added on its path"): 850,
    ("received datagram", "udptrace --lookups off", "added on its path"): 10,
    ("miss", "100", "added to a first one"): 60_000,
    ("miss", "100 of other ports", "added to a first one"): 60_000,
    (STORM, SHOT, UNACCOUNTED): 0,
    (STORM, SCAN, UNACCOUNTED): 0,
    # 5 % of a processor that executes 12 of this code's in a nanosecond: docs/overhead.md.
    (STORM, SHOT, A_SECOND): 600,
    ("start up to attaching, natively", "all, cold", "figure"): 0.7,
    ("start up to attaching, natively", "peak memory", "figure"): 130,
    ("report", "1,000,000 events", "took"): 20,
    ("report", "1,000,000 events", "peak memory"): 200,
    (LISTING, "udptrace sockets", "peak memory"): 250,
    (LISTING, LIKE_SS, "peak memory"): 250,
}
"""(topic, row, column) -> at most."""

STARTS = "until it traces, million instructions"


def with_targets(figures: Sequence[Figure]) -> list[Figure]:
    """The figures with their targets, those included that depend on another figure."""
    values = {(f.topic, f.row, f.column): f.value for f in figures}
    return [replace(f, at_most=_target(f, values)) for f in figures]


def _target(figure: Figure, values: dict[tuple[str, str, str], float]) -> float | None:
    """What a figure may be at most; None: no target, or what it depends on was not measured."""
    key = (figure.topic, figure.row, figure.column)
    if figure.topic == "miss" and figure.column == "added to a repeat":
        first = values["miss", figure.row, "added to a first one"]
        return first / 10 if figure.row == "100" else None
    if figure.column == STARTS and figure.row.startswith("udptrace"):
        half = values["start", "tcpconnect", STARTS] / 2
        return min(half, values["start", "bpftrace", STARTS])
    if figure.column == "added in all" and figure.row.startswith("udptrace"):
        return values["received datagram", "tcpdump -w", "added in all"]
    if key == (LISTING, "udptrace sockets", TAKES):
        return values[LISTING, "ss -nuap", TAKES]
    if key == (LISTING, LIKE_SS, TAKES):
        return 5 * values[LISTING, "ss -nua", TAKES]
    return FIXED.get(key)
