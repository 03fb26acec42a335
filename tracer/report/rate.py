"""Counts over time in a bounded number of equal spans, however long the time is."""

from __future__ import annotations

from tracer.report.model import Bins
from tracer.timefmt import NS

SPANS = 120
"""At most so many spans; when time goes beyond them each becomes twice as long."""


class Histogram:
    """Counts by time; the spans begin at multiples of their width, so that two can be compared."""

    def __init__(self) -> None:
        self.width = NS
        self._counts: dict[int, int] = {}
        self._low = 0
        self._high = 0

    def add(self, time: int, count: int) -> None:
        """Count something that happened at a time (ns)."""
        at = time // self.width
        if not self._counts:
            self._low = self._high = at
        self._low, self._high = min(self._low, at), max(self._high, at)
        self._counts[at] = self._counts.get(at, 0) + count
        while self._high - self._low >= SPANS:
            self.widen()

    def widen(self) -> None:
        """Make the spans twice as long."""
        wider: dict[int, int] = {}
        for at, count in self._counts.items():
            wider[at >> 1] = wider.get(at >> 1, 0) + count
        self.width, self._counts = self.width * 2, wider
        self._low, self._high = self._low >> 1, self._high >> 1

    def span(self) -> tuple[int, int] | None:
        """The first and the last span's number; None for an empty histogram."""
        return (self._low, self._high) if self._counts else None

    def bins(self, span: tuple[int, int] | None = None) -> Bins | None:
        """The counts from the first to the last span, or of the ``span`` given."""
        span = span or self.span()
        if span is None:
            return None
        first, last = span
        # Moving an incident between groups can leave less than nothing behind.
        counts = tuple(max(0, self._counts.get(at, 0)) for at in range(first, last + 1))
        return Bins(first * self.width, self.width, counts)


def aligned(histograms: dict[str, Histogram]) -> dict[str, Bins]:
    """The counts of several, in the same spans."""
    filled = {name: one for name, one in histograms.items() if one.span()}
    if not filled:
        return {}
    while True:
        width = max(one.width for one in filled.values())
        for one in filled.values():
            while one.width < width:
                one.widen()
        spans = [span for one in filled.values() if (span := one.span())]
        first, last = min(low for low, _ in spans), max(high for _, high in spans)
        if last - first < SPANS:
            break
        for one in filled.values():
            one.widen()
    found = {name: one.bins((first, last)) for name, one in filled.items()}
    return {name: bins for name, bins in found.items() if bins}
