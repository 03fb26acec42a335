"""`udptrace diff`: what changed between two recordings."""

from __future__ import annotations

from typing import Any

import click

from tracer.cli.completion import FILE
from tracer.cli.options import habit_option, json_or_text_option
from tracer.cli.output import write_out
from tracer.cli.progress import watched
from tracer.cli.sources import Asked, find_sources, source_options
from tracer.errors import BadAnswer
from tracer.render.diff import diff_json, diff_text
from tracer.report.diff import diff
from tracer.report.make import make_report
from tracer.summary import many


@click.command("diff")
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@json_or_text_option
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="Rates that differ by no more than this are the same.",
)
@habit_option
@source_options
def command(
    before: str,
    after: str,
    output_format: str,
    tolerance: float,
    **asked: Any,
) -> None:
    """Compare the recording AFTER with the recording BEFORE: culprits new and gone, and rates.

    Rates are misses a second of trace time. It ends with 3 where AFTER has more: a new culprit, or
    one at a higher rate.
    """
    one, other = (
        make_report(find_sources([path], Asked(**asked)), watched) for path in (before, after)
    )
    found = diff(one, other, tolerance / 100)
    write_out(None, diff_json(found) if output_format == "json" else diff_text(found), ())
    if found.more:
        new, more = found.count("new"), found.count("more")
        raise BadAnswer(f"diff found more: {many(new, 'new group')}, {more} at a higher rate")
