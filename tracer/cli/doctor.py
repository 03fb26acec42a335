"""`udptrace doctor`: what works on this machine, and how to mend what does not."""

from __future__ import annotations

import click

from tracer.cli.options import output_options, wants_color
from tracer.cli.streams import show
from tracer.doctor.report import examine
from tracer.render import findings


@click.command("doctor")
@output_options
def command(output_format: str, color: str) -> None:
    """Say what works here and what does not, what is lost by it, and how to mend it.

    Real probes are loaded, proven and taken away again: it ends with 0 only if a live trace would
    start. Without root it says what can be said without.
    """
    report = examine()
    if output_format == "json":
        show(findings.jsonl(report.findings, report.failure))
    else:
        show(findings.text(report.findings, report.failure, color=wants_color(color)))
    if report.failure is not None:
        raise report.failure
