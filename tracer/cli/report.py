"""`udptrace report`: recordings as a post-mortem."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from tracer.cli.completion import FILE
from tracer.cli.options import habit_option, wants_color
from tracer.cli.output import write_out
from tracer.cli.progress import watched
from tracer.cli.sources import Asked, find_sources, source_options
from tracer.report.make import make_report
from tracer.report.model import Report

TOP = 20


@click.command("report")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["text", "markdown", "json", "html"]),
    default="text",
    show_default=True,
    help="json is one object a line; html one page without anything from elsewhere.",
)
@click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="Write to FILE; only its owner can read it."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=TOP,
    show_default=True,
    metavar="N",
    help="Tell all of the N groups with the most misses; json has every group.",
)
@habit_option
@source_options
def command(
    files: tuple[str, ...],
    output_format: str,
    output: str | None,
    top: int,
    **asked: Any,
) -> None:
    """Explain recordings afterwards: who refused what, how often, and what is in doubt.

    Incidents are grouped by cause, culprit and pair of ends. Several files of one boot of a host
    are one trace; of several hosts, what one refused and another was told is one incident. No root,
    BCC or Linux is needed.
    """
    sources = find_sources(files, Asked(**asked))
    report = make_report(sources, watched)
    write_out(output, _pieces(report, output_format, top, to_file=output is not None), files)


def _pieces(report: Report, output_format: str, top: int, *, to_file: bool) -> Iterable[str]:
    """The report in its format; a format's module is imported when it is asked for."""
    if output_format == "json":
        from tracer.render.report_json import report_json

        return report_json(report)
    if output_format == "markdown":
        from tracer.render.report_markdown import report_markdown

        return report_markdown(report, top)
    if output_format == "html":
        from tracer.render.report_html import report_html

        return report_html(report, top)
    from tracer.render.report_text import report_text

    return report_text(report, top, color=not to_file and wants_color("auto"))
