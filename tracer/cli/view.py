"""What a command shows of a trace: the consumer and the renderer that its options ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracer.cli.options import wants_color
from tracer.cli.streams import say, tell
from tracer.link import CLOSED_WINDOW_NS, SETTLE_NS, Linker
from tracer.present import Presenter, Renderer
from tracer.render.text import TextRenderer
from tracer.render.transitions import TransitionJson, TransitionText, tally_line, tally_summary
from tracer.select import Selection
from tracer.states.consume import Transitions
from tracer.summary import status_line
from tracer.totals import Stats

if TYPE_CHECKING:  # a replay does without them
    from tracer.log import Consumer
    from tracer.signals import Stop
    from tracer.trace import Session


def make_presenter(
    output_format: str,
    color: str,
    write: Callable[[str], None],
    *,
    targets: tuple[int, ...],
    following: bool,
    closed_window_ns: int | None,
    settle_ns: int | None,
    limit: int | None,
    selection: Selection,
    silent: Renderer | None = None,
) -> Presenter:
    """A presenter for --format ("json", "text"; "" for ``silent``) and --color."""
    linker = Linker(
        frozenset(targets),
        following=following,
        closed_window_ns=closed_window_ns or CLOSED_WINDOW_NS,
        settle_ns=settle_ns or SETTLE_NS,
        selection=selection,
    )
    if output_format == "json":
        from tracer.render.jsonl import JsonRenderer

        renderer = JsonRenderer()
        return Presenter(linker, renderer, write, limit, renderer.end)
    if silent is not None and not output_format:
        return Presenter(linker, silent, write, limit)
    return Presenter(linker, TextRenderer(color=wants_color(color)), write, limit)


def make_transitions(
    output_format: str,
    color: str,
    write: Callable[[str], None],
    *,
    targets: tuple[int, ...],
    following: bool,
    settle_ns: int | None,
    selection: Selection,
) -> Transitions:
    """The same for transitions of sockets: --format ("json", "text") and --color."""
    as_json = TransitionJson()
    return Transitions(
        as_json if output_format == "json" else TransitionText(color=wants_color(color)),
        write,
        settle_ns=settle_ns or SETTLE_NS,
        targets=frozenset(targets),
        following=following,
        selection=selection,
        last=as_json.last if output_format == "json" else lambda end, tally: "",
    )


@dataclass(frozen=True)
class View:
    """What a live trace shows, and what it tells beside that on stderr."""

    consumer: Consumer
    status: Callable[[int], str] | None
    """The line that proves that it lives, by its age (ns); None where what is shown does."""
    sum_up: Callable[[], None]
    """Tell the last words."""
    say: Callable[[str], None] = say
    """Takes a line for the user while it runs."""
    attach: Callable[[Session, Stop], Session] = lambda session, stop: session
    """The session as the view needs it; through ``stop`` the view can end the trace."""
    begin: Callable[[], None] = lambda: None
    """All is known, and the showing begins."""
    end: Callable[[], None] = lambda: None
    """The trace is over, whatever ended it."""


def view_of_incidents(presenter: Presenter) -> View:
    """The view of `live` and `record`."""
    return View(
        presenter,
        lambda age_ns: status_line(presenter.stats, age_ns),
        lambda: tell_summary(presenter.stats),
    )


def view_of_transitions(transitions: Transitions) -> View:
    """The view of `states`."""
    tally = transitions.tally
    return View(
        transitions,
        lambda age_ns: tally_line(tally, age_ns),
        lambda: tell(tally_summary(tally)),
    )


def tell_summary(stats: Stats) -> None:
    """The last words of a trace, on stderr: they are no result."""
    for line in TextRenderer().end(stats).splitlines():
        tell(line)
