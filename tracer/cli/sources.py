"""The files named on a command line, sorted into traces: one for each boot of a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from tracer.cli.options import closed_window_option, selecting
from tracer.cli.replay import ReplayOptions, asked_header, asked_selection
from tracer.errors import UsageError
from tracer.events import Header
from tracer.recording.reader import Reader
from tracer.report.collect import Source
from tracer.select import Selection

F = TypeVar("F", bound=Callable[..., Any])


def source_options(function: F) -> F:
    """What of a recording is asked for, as `replay` has it."""
    for option in (
        selecting,
        closed_window_option,
        click.option(
            "-N",
            "--netns",
            multiple=True,
            metavar="NAME|INUM|host|all",
            help="Only what concerns this network namespace instead of what the trace showed.",
        ),
    ):
        function = option(function)
    return function


def find_sources(
    files: Iterable[str],
    netns: tuple[str, ...],
    selection: tuple[tuple[str, str], ...],
    closed_window_ns: int | None,
) -> list[Source]:
    """The traces that the files hold, in the order of their names. Raises UdptraceError.

    Of several, those without a namespace that is asked for are left out.
    """
    boots: dict[tuple[str, str], list[_File]] = {}
    for path in dict.fromkeys(files):
        file = _open(ReplayOptions(path, netns, None, "text", "never", selection))
        boots.setdefault((file.header.host, file.header.boot_id), []).append(file)
    every = [file for parts in boots.values() for file in parts]
    if all(file.lacking for file in every):
        raise next(file.lacking for file in every if file.lacking)
    return [
        _source(sorted(parts, key=lambda file: (file.header.time, file.path)), closed_window_ns)
        for parts in boots.values()
        if not all(file.lacking for file in parts)
    ]


@dataclass(frozen=True)
class _File:
    """A recording, its header as asked for, and why it has no namespace that is asked for."""

    path: str
    header: Header
    selection: Selection
    lacking: UsageError | None = None


def _open(options: ReplayOptions) -> _File:
    if options.file == "-":
        raise UsageError("-: standard input cannot be read twice, as this does; name a file")
    with Reader(options.file) as reader:
        header = reader.header
    try:
        header, lacking = asked_header(header, options), None
    except UsageError as problem:
        lacking = problem
    return _File(options.file, header, asked_selection(header, options), lacking)


def _source(files: list[_File], closed_window_ns: int | None) -> Source:
    """Files of one boot, in the order of time, as one trace."""
    asked = [file.header for file in files if not file.lacking]
    everything = any(not header.targets for header in asked)
    targets = () if everything else (inum for header in asked for inum in header.targets)
    return Source(
        paths=tuple(file.path for file in files),
        headers=tuple(file.header for file in files),
        targets=frozenset(targets),
        selection=files[0].selection,
        closed_window_ns=closed_window_ns or files[0].header.closed_window_ns,
    )
