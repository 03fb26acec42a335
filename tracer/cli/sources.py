"""The files named on a command line, sorted into traces: one for each boot of a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tracer.cli.options import closed_window_option, selecting, target_options
from tracer.cli.replay import ReplayOptions, asked_header, asked_selection
from tracer.errors import UsageError
from tracer.events import Header
from tracer.recording.reader import Reader
from tracer.report.collect import Source
from tracer.select import Selection

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Asked:
    """What of the recordings is asked for: the options of `source_options`."""

    netns: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    containers: tuple[str, ...] = ()
    selection: tuple[tuple[str, str], ...] = ()
    closed_window_ns: int | None = None


def source_options(function: F) -> F:
    """Targets and filters as `replay` has them."""
    return target_options(closed_window_option(selecting(function)))


def find_sources(files: Iterable[str], asked: Asked) -> list[Source]:
    """The traces that the files hold, in the order of their names. Raises UdptraceError.

    Of several, those without a namespace that is asked for are left out.
    """
    boots: dict[tuple[str, str], list[_File]] = {}
    for path in dict.fromkeys(files):
        file = _open(ReplayOptions((path,), **vars(asked)))
        boots.setdefault((file.header.host, file.header.boot_id), []).append(file)
    every = [file for parts in boots.values() for file in parts]
    if all(file.lacking for file in every):
        raise next(file.lacking for file in every if file.lacking)
    return [
        _source(
            sorted(parts, key=lambda file: (file.header.time, file.header.part, file.path)), asked
        )
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


def _in_time(file: _File) -> tuple[int, int, str]:
    return file.header.time, file.header.part, file.path


def _open(options: ReplayOptions) -> _File:
    (path,) = options.files
    if path == "-":
        raise UsageError("-: standard input cannot be read twice, as this does; name a file")
    with Reader(path) as reader:
        header = reader.header
    try:
        header, lacking = asked_header(header, options), None
    except UsageError as problem:
        lacking = problem
    return _File(path, header, asked_selection(header, options), lacking)


def _source(files: list[_File], asked: Asked) -> Source:
    """Files of one boot, in the order of time, as one trace."""
    wanted = [file.header for file in files if not file.lacking]
    following = any(header.following for header in wanted)
    containers = {one for file in files for one in file.selection.containers}
    narrow = [header.targets or header.following for header in wanted]
    everything = not containers and not all(narrow)
    targets = () if everything else (inum for header in wanted for inum in header.targets)
    return Source(
        paths=tuple(file.path for file in files),
        headers=tuple(file.header for file in files),
        targets=frozenset(targets),
        following=following and not everything,
        selection=replace(files[0].selection, containers=tuple(sorted(containers))),
        closed_window_ns=asked.closed_window_ns or files[0].header.closed_window_ns,
    )
