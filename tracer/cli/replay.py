"""`udptrace replay`: the incidents of recordings, as the live trace showed them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import click

from tracer.cli.options import closed_window_option, habit_option, output_options, selecting
from tracer.cli.streams import say, show
from tracer.cli.view import make_presenter, tell_summary
from tracer.errors import UsageError
from tracer.events import Call, Header, Miss, NetnsInfo
from tracer.recording.errors import RecordingError
from tracer.recording.joined import Joined, traces
from tracer.select import Selection, selection_of
from tracer.text import clean


@dataclass(frozen=True)
class ReplayOptions:
    """The options of `replay`, for one trace of those it shows."""

    files: tuple[str, ...]
    """The parts of its recording, in their order."""
    netns: tuple[str, ...]
    closed_window_ns: int | None
    output_format: str
    color: str
    selection: tuple[tuple[str, str], ...] = ()


@click.command("replay")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-N",
    "--netns",
    multiple=True,
    metavar="NAME|INUM|host|all",
    help="Show what concerns this network namespace instead of what the trace showed.",
)
@output_options
@habit_option
@closed_window_option
@selecting
def command(files: tuple[str, ...], **options: Any) -> None:
    """Show the incidents of the recording FILE (- for standard input).

    Of several files those that one trace has rotated through are read as one, whatever their
    order; the others are shown one after the other.

    It shows what the live trace showed, of the namespaces and with the filters that one was asked
    for. Filters given here take the place of those; `-N all` shows everything that was recorded.
    No root, BCC or Linux is needed.
    """
    for trace in traces(files):
        replay(ReplayOptions(files=trace, **options))


def replay(options: ReplayOptions) -> None:
    """Show one recording. Raises RecordingError, UsageError and what writing raises."""
    with Joined(options.files) as reader:
        header = _asked(reader.header, options)
        presenter = make_presenter(
            options.output_format,
            options.color,
            lambda text: show(text, flush=False),
            targets=header.targets,
            closed_window_ns=options.closed_window_ns or header.closed_window_ns,
            settle_ns=header.settle_ns,
            limit=header.count,
            selection=_selection(header, options),
        )
        for event in reader:
            presenter.feed(header if isinstance(event, Header) else event)
        if not reader.ended:
            presenter.finish()
    show("")
    for problem in reader.problems():
        say(problem)
    tell_summary(presenter.stats)


def _asked(header: Header, options: ReplayOptions) -> Header:
    """The header with what is asked of this replay, where that is other than of the trace."""
    if options.netns:
        header = _retargeted(header, options)
    if options.selection:
        header = replace(header, selection=options.selection, count=None)
    return header


def _selection(header: Header, options: ReplayOptions) -> Selection:
    try:
        return selection_of(header.selection)
    except ValueError as error:
        raise RecordingError(
            f"{options.files[0]}: its filters are not known here: {error}"
        ) from None


def _retargeted(header: Header, options: ReplayOptions) -> Header:
    """The header for other targets than the trace had; then its --count means nothing."""
    found: list[tuple[int, str]] = []
    if "all" not in options.netns:
        known = _namespaces(options.files)
        for spec in map(clean, options.netns):
            found += [(inum, spec) for inum in _resolve(spec, known)]
    inums, names = tuple(inum for inum, _ in found), tuple(name for _, name in found)
    return replace(header, targets=inums, target_names=names, selection=(), count=None)


def _resolve(spec: str, known: dict[int, set[str]]) -> list[int]:
    """The namespaces a name or a number means; a name may have been given to several in turn."""
    found = [inum for inum, names in known.items() if spec in (str(inum), *names)]
    if not found:
        names = sorted(set().union(*known.values()))
        raise UsageError(
            f"-N {spec}: no network namespace of this name or number in the recording"
            f" (there are: {', '.join(names) or 'none with a name'})"
        )
    return found


def _namespaces(files: tuple[str, ...]) -> dict[int, set[str]]:
    """Every namespace that the recording tells of, with its names."""
    if "-" in files:
        raise UsageError("-N: standard input cannot be searched for it; name a file")
    known: dict[int, set[str]] = {}
    with Joined(files) as reader:
        for event in reader:
            if isinstance(event, NetnsInfo):
                known.setdefault(event.inum, set()).update(filter(None, [event.name]))
            elif isinstance(event, Miss):
                known.setdefault(event.netns, set())
            elif isinstance(event, Call):
                known.setdefault(event.after.netns, set())
    return known
