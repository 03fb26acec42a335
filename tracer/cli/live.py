"""`udptrace live`: the live trace."""

from __future__ import annotations

from typing import Any

import click

from tracer.cli.completion import FILE
from tracer.cli.options import (
    bounds_options,
    closed_window_option,
    habit_option,
    metrics_option,
    output_options,
    selecting,
    target_options,
    trace_options,
)
from tracer.cli.tracing import TraceOptions, run_trace
from tracer.errors import UsageError


@click.command("live")
@target_options
@output_options
@habit_option
@click.option(
    "-w", "--write", type=FILE, metavar="FILE", help="Also keep the evidence, for `replay`."
)
@bounds_options
@trace_options
@metrics_option
@closed_window_option
@selecting
def command(**options: Any) -> None:
    """Trace the whole machine and explain each miss as it happens.

    The evidence of every network namespace is taken, and with -w kept, whatever is shown.
    """
    if options["write"] == "-":
        raise UsageError(
            "-w -: standard output has the incidents already;"
            " `udptrace record -w -` writes the recording there"
        )
    run_trace(TraceOptions(**options))
