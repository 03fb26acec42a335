"""`udptrace states`: what becomes of UDP sockets, live or from recordings."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import click
from click.core import ParameterSource

from tracer.cli.completion import FILE
from tracer.cli.options import (
    bounds_options,
    habit_option,
    output_options,
    run_options,
    selecting_transitions,
    target_options,
    words_option,
)
from tracer.cli.replay import ReplayOptions, play
from tracer.cli.streams import tell
from tracer.cli.tracing import TraceOptions, run_trace
from tracer.cli.view import make_transitions
from tracer.errors import UsageError
from tracer.recording.joined import traces
from tracer.render.transitions import tally_summary
from tracer.select import WHAT as KIND
from tracer.states.model import WHAT

_REPLAYED = {"netns", "pids", "containers", "selection", "output_format", "color"}
"""The options that a replay takes; the others are a live trace's."""


@click.command("states")
@click.argument("files", type=FILE, nargs=-1, metavar="[FILE...]")
@words_option("--what", WHAT, f"Show only these transitions, of: {', '.join(WHAT)}.")
@target_options
@output_options
@habit_option
@click.option(
    "-w", "--write", type=FILE, metavar="FILE", help="Also keep the evidence, for a replay."
)
@bounds_options
@run_options
@selecting_transitions
@click.pass_context
def command(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    what: tuple[str, ...] | None,
    selection: tuple[tuple[str, str], ...],
    **options: Any,
) -> None:
    """Show what becomes of UDP sockets: made, bound, connected, disconnected, closed, by whom.

    And what did not work: the errors of bind() and connect(), and no port left. With FILE it shows
    that of a recording, of whatever command, without root, BCC or Linux.
    """
    options["selection"] = (*selection, *((KIND, word) for word in what or ()))
    if not files:
        if options["write"] == "-":
            raise UsageError("-w -: standard output has the transitions already; name a file")
        run_trace(TraceOptions(states=True, lookups="off", **options))
        return
    _refuse_live_options(ctx, options)
    asked = {name: options[name] for name in _REPLAYED}
    for trace in traces(files):
        _replay(ReplayOptions(files=trace, **asked))


def _refuse_live_options(ctx: click.Context, options: Container[str]) -> None:
    """Raises UsageError for the first option given that says nothing of a recording."""
    for param in ctx.command.params:
        name = param.name or ""
        given = ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
        if name in options and name not in _REPLAYED and given:
            raise UsageError(f"{param.opts[-1]}: is for a live trace, not for FILE")


def _replay(options: ReplayOptions) -> None:
    """Show one recording. Raises as `play`."""
    transitions = play(options, lambda header, showing: make_transitions(showing))
    tell(tally_summary(transitions.tally))
