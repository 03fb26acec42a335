"""The misses-over-time chart as shapes: stacked bars, a bar a span, a part a cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.render.report_parts import moment_text
from tracer.report.model import Bins
from tracer.summary import many
from tracer.timefmt import clock_text, date_text, duration_text

WIDTH = 864
HEIGHT, LOW = 200, 110
"""Of the chart of everything, and of one group's."""

_LEFT, _BOTTOM, _TOP, _RIGHT = 64, 28, 10, 40
_X_TICKS = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a bar, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    cause: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where along it, and its words."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it."""

    bars: tuple[Bar, ...]
    causes: tuple[str, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float
    right: float
    base: float
    height: int
    span: str
    """How long a bar is."""


def chart(bins: Sequence[tuple[str, Bins]], height: int = HEIGHT) -> Chart | None:
    """The chart of misses by cause, which share their spans; None for none."""
    if not bins:
        return None
    first = bins[0][1]
    spans = len(first.counts)
    totals = [sum(one.counts[at] for _, one in bins) for at in range(spans)]
    most = max(totals)
    base, left = height - _BOTTOM, _LEFT
    step = (WIDTH - _LEFT - _RIGHT) / spans
    scale = (base - _TOP) / most
    bars = []
    for at in range(spans):
        y = float(base)
        for cause, one in bins:
            count = one.counts[at]
            if not count:
                continue
            y -= count * scale
            when = moment_text(first.start + at * first.width)
            title = f"{when}: {many(count, 'miss', 'misses')}, {cause}"
            # A gap between bars, unless they are too thin to have one.
            width = max(1.0, step - (1 if step > 4 else 0))
            bars.append(Bar(left + at * step, y, width, count * scale, cause, title))
    marks = sorted({0, most} | ({most // 2} if most > 3 else set()))
    return Chart(
        bars=tuple(bars),
        causes=tuple(cause for cause, _ in bins),
        x_ticks=tuple(_x_ticks(first, step)),
        y_ticks=tuple(Tick(base - mark * scale, f"{mark:,}") for mark in marks),
        left=left,
        right=WIDTH - _RIGHT,
        base=base,
        height=height,
        span=duration_text(first.width),
    )


def _x_ticks(bins: Bins, step: float) -> list[Tick]:
    """A few times along the axis, with their date where the chart is longer than a day."""
    spans = len(bins.counts)
    days = bins.width * spans > 86_400 * 1_000_000_000
    ticks = []
    for number in range(min(_X_TICKS, spans) + 1):
        at = spans * number // min(_X_TICKS, spans)
        when = bins.start + at * bins.width
        text = f"{date_text(when)[5:]} {clock_text(when)[:5]}" if days else clock_text(when)[:8]
        ticks.append(Tick(_LEFT + at * step, text))
    return ticks
