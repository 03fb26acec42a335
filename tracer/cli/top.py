"""`udptrace top`: a table of who misses, errs and drops most, refreshed."""

from __future__ import annotations

import sys
from typing import Any

import click

from tracer.cli.options import (
    closed_window_option,
    duration_ns,
    habit_option,
    run_options,
    selecting,
    target_options,
)
from tracer.cli.screen import why_not
from tracer.cli.streams import say
from tracer.cli.tracing import TopOptions, TraceOptions, run_trace
from tracer.errors import UsageError
from tracer.top.model import BY, SORTS, By, Sort

_LEAST_NS = 100_000_000


@click.command("top")
@click.option(
    "--by",
    type=click.Choice(BY),
    default="flow",
    show_default=True,
    help="What a row is: a datagram's four-tuple, the socket that refuses or drops, its netns or"
    " its process.",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="misses",
    show_default=True,
    help="Which rows come first.",
)
@click.option(
    "--interval",
    "interval_ns",
    metavar="SECONDS",
    default="2",
    show_default=True,
    callback=duration_ns,
    help="How long each count lasts: 2, 500ms, 1m; at least 100ms.",
)
@click.option(
    "--count",
    "refreshes",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after so many intervals.",
)
@click.option(
    "--lines", type=click.IntRange(min=1), metavar="N", help="Show no more rows than these."
)
@click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["screen", "text", "json"]),
    help="screen: a table with keys; text: a block an interval; json: an object a row.  [default:"
    " screen on a terminal, else text]",
)
@target_options
@habit_option
@run_options
@closed_window_option
@selecting
def command(
    by: By,
    sort: Sort,
    interval_ns: int,
    refreshes: int | None,
    lines: int | None,
    output_format: str | None,
    **options: Any,
) -> None:
    """Show who misses, is told errors and drops most, a second, worst first, refreshed.

    On a terminal keys sort, group, pause and quit; else each interval is a block of lines.
    """
    if interval_ns < _LEAST_NS:
        raise UsageError("--interval: at least 100ms: the kernel's counters are read each time")
    top = TopOptions(interval_ns, refreshes, by, sort, lines)
    form = output_format or _default_format()
    if form == "screen" and (reason := why_not()):
        raise UsageError(f"-f screen: {reason}; use -f text")
    run_trace(TraceOptions(write=None, output_format=form, top=top, **options))


def _default_format() -> str:
    """A screen where there can be one; on a terminal it is said why there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return "text"
    reason = why_not()
    if reason:
        say(f"plain lines, for {reason}")
    return "text" if reason else "screen"
