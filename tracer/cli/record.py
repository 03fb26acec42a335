"""`udptrace record`: a live trace of which only the evidence is kept."""

from __future__ import annotations

from typing import Any

import click

from tracer.causes import Cause
from tracer.cli.completion import FILE
from tracer.cli.keeping import ANY
from tracer.cli.options import (
    bounds_options,
    closed_window_option,
    duration_ns,
    habit_option,
    metrics_option,
    selecting,
    target_options,
    trace_options,
)
from tracer.cli.tracing import TraceOptions, run_trace


@click.command("record")
@click.option(
    "-w",
    "--write",
    type=FILE,
    metavar="FILE",
    required=True,
    help="The recording; FILE.gz is compressed, - is standard output.",
)
@bounds_options
@click.option(
    "--ring",
    "ring_ns",
    metavar="DURATION",
    callback=duration_ns,
    help="A flight recorder: hold the last so much in memory, at most --max-size of it (default "
    "64M), and write a file of it on SIGUSR1, on --trigger and at the end.",
)
@click.option(
    "--trigger",
    "triggers",
    type=click.Choice([*(cause.value for cause in Cause), ANY]),
    metavar="CAUSE|any",
    multiple=True,
    help="With --ring: write a file when an incident with this cause happens. May be repeated.",
)
@target_options
@habit_option
@trace_options
@metrics_option
@closed_window_option
@selecting
def command(**options: Any) -> None:
    """Keep the evidence of a trace in FILE, for `udptrace replay FILE`.

    FILE is overwritten, and only its owner can read it. With --ring there are several, called FILE
    with the time and a number behind it; --max-files (default 10) are kept.
    """
    run_trace(TraceOptions(**options))
