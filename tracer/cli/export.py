"""`udptrace export`: the incidents of a recording for other tools."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from tracer.cli.completion import FILE
from tracer.cli.options import habit_option
from tracer.cli.output import write_out
from tracer.cli.progress import watched
from tracer.cli.sources import Asked, find_sources, source_options
from tracer.cli.streams import say
from tracer.errors import UsageError
from tracer.export.finished import Finished
from tracer.incident import Incident
from tracer.recording.reader import Reader
from tracer.render.json_line import json_line
from tracer.report.collect import Source
from tracer.report.make import make_linker


@click.command("export")
@click.argument("file", type=FILE)
@click.option(
    "--to",
    "to",
    type=click.Choice(["pcapng", "json", "csv"]),
    required=True,
    help="pcapng for Wireshark; json has an incident a line, csv a row.",
)
@click.option(
    "-o", "--output", type=FILE, metavar="FILE", help="Write to FILE; only its owner can read it."
)
@habit_option
@source_options
def command(
    file: str,
    to: str,
    output: str | None,
    **asked: Any,
) -> None:
    """Write the incidents of the recording FILE for Wireshark, a spreadsheet or a script.

    Each incident comes once, as it stood at last. No root, BCC or Linux is needed.
    """
    if to == "pcapng" and output in (None, "-") and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("--to pcapng: not to a terminal; add -o FILE")
    (source,) = find_sources([file], Asked(**asked))
    finished = Finished()
    incidents = _incidents(source, finished)
    if to == "pcapng":
        _capture(source, incidents, output)
    elif to == "csv":
        from tracer.export.csv import csv_rows

        write_out(output, csv_rows(incidents), [file])
    else:
        write_out(output, (json_line(one.to_json()) for one in incidents), [file])
    if finished.late:
        say(f"{finished.late} changes came after their incident was written: too many at a time")


def _incidents(source: Source, finished: Finished) -> Iterator[Incident]:
    """Every incident once; tells what was wrong with the file."""
    linker = make_linker(source)
    with Reader(source.paths[0]) as reader:
        for event in watched(reader, reader):
            for update in linker.feed(event):
                yield from finished.take(update)
        for update in linker.flush():
            yield from finished.take(update)
        yield from finished.rest()
        for problem in reader.problems():
            say(problem)


def _capture(source: Source, incidents: Iterable[Incident], output: str | None) -> None:
    from tracer.export.capture import Capture

    capture = Capture()
    write_out(output, capture.pieces(source.headers[0], incidents), source.paths)
    if capture.left_out:
        say(f"{capture.left_out} incidents left out: what is recorded of them makes no packet")
