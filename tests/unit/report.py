"""Making reports in tests: events to files, files to reports, commands to their output."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner, Result

from tests.unit.linking import updates
from tracer.cli.main import udptrace
from tracer.cli.sources import Asked, find_sources
from tracer.events import Event
from tracer.recording import codec
from tracer.report.groups import Groups
from tracer.report.make import make_report
from tracer.report.model import Group, Report


def write(path: Path, events: Iterable[Event]) -> str:
    """A recording of the events; its path."""
    path.write_bytes(b"".join(map(codec.encode, events)))
    return str(path)


def report_on(*paths: str) -> Report:
    """The report on recordings."""
    return make_report(find_sources(paths, Asked()), lambda reader, events: events)


def groups_of(*events: Event) -> tuple[Group, ...]:
    """The groups of a trace."""
    groups = Groups()
    for update in updates(events):
        groups.take(update)
    return groups.finished()


def invoke(*arguments: str) -> Result:
    """A command run in this process, as if its output were no terminal."""
    return CliRunner().invoke(udptrace, arguments)
