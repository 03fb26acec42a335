"""`udptrace record`: a live trace of which only the evidence is kept."""

from __future__ import annotations

from typing import Any

import click

from tracer.cli.options import (
    closed_window_option,
    habit_option,
    selecting,
    target_options,
    trace_options,
)
from tracer.cli.tracing import TraceOptions, run_trace


@click.command("record")
@click.option(
    "-w",
    "--write",
    metavar="FILE",
    required=True,
    help="The recording; FILE.gz is compressed, - is standard output.",
)
@target_options
@habit_option
@trace_options
@closed_window_option
@selecting
def command(**options: Any) -> None:
    """Keep the evidence of a trace in FILE, for `udptrace replay FILE`.

    FILE is overwritten, and only its owner can read it.
    """
    run_trace(TraceOptions(**options))
