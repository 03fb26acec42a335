"""`udptrace replay`: the incidents of recordings, as the live trace showed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import click

from tracer.cli.completion import FILE
from tracer.cli.options import (
    closed_window_option,
    habit_option,
    output_options,
    selecting,
    target_options,
)
from tracer.cli.streams import say, show
from tracer.cli.view import Showing, make_presenter, tell_summary
from tracer.errors import UsageError
from tracer.events import Event, Header
from tracer.present import Presenter
from tracer.recording.errors import RecordingError
from tracer.recording.joined import Joined, traces
from tracer.recording.named import Named
from tracer.select import CONTAINER, Selection, selection_of
from tracer.targets import ALL
from tracer.text import clean


@dataclass(frozen=True)
class ReplayOptions:
    """The options of `replay`, for one trace of those it shows."""

    files: tuple[str, ...]
    """The parts of its recording, in their order."""
    netns: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    containers: tuple[str, ...] = ()
    closed_window_ns: int | None = None
    output_format: str = "text"
    color: str = "never"
    selection: tuple[tuple[str, str], ...] = ()


@click.command("replay")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@target_options
@output_options
@habit_option
@closed_window_option
@selecting
def command(files: tuple[str, ...], **options: Any) -> None:
    """Show the incidents of the recording FILE (- for standard input).

    Of several files those that one trace has rotated through are read as one, whatever their
    order; the others are shown one after the other.

    It shows what the live trace showed, of the namespaces and with the filters that one was asked
    for. Targets and filters given here take the place of those; `-N all` shows everything that was
    recorded. No root, BCC or Linux is needed.
    """
    for trace in traces(files):
        replay(ReplayOptions(files=trace, **options))


def replay(options: ReplayOptions) -> None:
    """Show the incidents of one recording. Raises as `play`."""

    def presenter(header: Header, showing: Showing) -> Presenter:
        window_ns = options.closed_window_ns or header.closed_window_ns
        return make_presenter(showing, closed_window_ns=window_ns, limit=header.count)

    tell_summary(play(options, presenter).stats)


class _Consumer(Protocol):
    """Who shows a recording: as tracer.log.Consumer, and there may be no end of it."""

    def feed(self, event: Event) -> None:
        """Take the next event."""

    def finish(self) -> None:
        """Show what is still held back."""


C = TypeVar("C", bound=_Consumer)


def play(options: ReplayOptions, make: Callable[[Header, Showing], C]) -> C:
    """Feed one recording to the consumer that ``make`` makes for what is asked of it.

    Returns the consumer. Raises RecordingError, UsageError and what writing raises.
    """
    with Joined(options.files) as reader:
        header = asked_header(reader.header, options)
        consumer = make(header, _showing(header, options))
        for event in reader:
            consumer.feed(header if isinstance(event, Header) else event)
        if not reader.ended:
            consumer.finish()
    show("")
    for problem in reader.problems():
        say(problem)
    return consumer


def _showing(header: Header, options: ReplayOptions) -> Showing:
    return Showing(
        output_format=options.output_format,
        color=options.color,
        write=lambda text: show(text, flush=False),
        targets=header.targets,
        following=bool(header.following),
        settle_ns=header.settle_ns,
        selection=asked_selection(header, options),
    )


def asked_header(header: Header, options: ReplayOptions) -> Header:
    """The header with what is asked of this replay, where that is other than of the trace.

    Raises RecordingError and UsageError.
    """
    if options.netns or options.pids or options.containers:
        header = _retargeted(header, options)
    if options.selection:
        targets = tuple(pair for pair in header.selection if pair[0] == CONTAINER)
        header = replace(header, selection=options.selection + targets, count=None)
    return header


def asked_selection(header: Header, options: ReplayOptions) -> Selection:
    """The filters in such a header. Raises RecordingError."""
    try:
        return selection_of(header.selection)
    except ValueError as error:
        raise RecordingError(
            f"{options.files[0]}: its filters are not known here: {error}"
        ) from None


def _retargeted(header: Header, options: ReplayOptions) -> Header:
    """The header for other targets than the trace had; then its --count means nothing."""
    found: list[tuple[int, str]] = []
    containers: list[str] = []
    if ALL not in options.netns:
        if "-" in options.files:
            raise UsageError("-c, -N, -p: standard input cannot be searched for it; name a file")
        with Joined(options.files) as reader:
            named = Named(reader)
        for spec in map(clean, options.netns):
            found += [(inum, spec) for inum in named.netns(spec)]
        for pid in options.pids:
            found += [(inum, f"pid {pid}") for inum in named.process(pid)]
        for spec in map(clean, options.containers):
            containers += named.container(spec)
    names = [name for _, name in found] + [f"container {clean(c)}" for c in options.containers]
    return replace(
        header,
        targets=tuple(inum for inum, _ in found),
        target_names=tuple(names),
        following=(),
        selection=tuple((CONTAINER, identity) for identity in containers),
        count=None,
    )
