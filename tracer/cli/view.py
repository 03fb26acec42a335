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
from tracer.select import Selection
from tracer.summary import status_line
from tracer.totals import Stats

if TYPE_CHECKING:  # a replay does without them
    from tracer.log import Consumer
    from tracer.metrics.tally import Tally
    from tracer.signals import Stop
    from tracer.states.consume import Transitions
    from tracer.trace import Session


@dataclass(frozen=True)
class Showing:
    """What is shown of a trace, live or replayed, and how: the same for all that can be shown."""

    output_format: str
    """--format: "json" or "text"; empty for a trace that shows nothing."""
    color: str
    """--color."""
    write: Callable[[str], None]
    targets: tuple[int, ...]
    """Inode numbers of namespaces."""
    following: bool
    """Containers are followed, too."""
    settle_ns: int | None
    """None: as by default."""
    selection: Selection


def make_presenter(
    showing: Showing,
    *,
    closed_window_ns: int | None,
    limit: int | None,
    silent: Renderer | None = None,
    tally: Tally | None = None,
) -> Presenter:
    """A presenter of incidents; ``silent`` takes those of a trace that shows nothing.

    ``tally`` counts them besides.
    """
    linker = Linker(
        frozenset(showing.targets),
        following=showing.following,
        closed_window_ns=closed_window_ns or CLOSED_WINDOW_NS,
        settle_ns=showing.settle_ns or SETTLE_NS,
        selection=showing.selection,
    )
    if showing.output_format == "json":
        from tracer.render.jsonl import JsonRenderer

        as_json = JsonRenderer()
        return Presenter(linker, _tallied(as_json, tally), showing.write, limit, as_json.end)
    renderer: Renderer = TextRenderer(color=wants_color(showing.color), fold=True)
    if silent is not None and not showing.output_format:
        renderer = silent
    return Presenter(linker, _tallied(renderer, tally), showing.write, limit)


def _tallied(renderer: Renderer, tally: Tally | None) -> Renderer:
    if tally is None:
        return renderer
    from tracer.metrics.tally import Tallied

    return Tallied(tally, renderer)


def make_transitions(showing: Showing) -> Transitions:
    """The same for transitions of sockets."""
    # Only now, as below: most traces show incidents, and a start is mostly imports.
    from tracer.render.transitions import TransitionJson, TransitionText
    from tracer.states.consume import Transitions

    as_json = TransitionJson()
    in_json = showing.output_format == "json"
    return Transitions(
        as_json if in_json else TransitionText(color=wants_color(showing.color)),
        showing.write,
        settle_ns=showing.settle_ns or SETTLE_NS,
        targets=frozenset(showing.targets),
        following=showing.following,
        selection=showing.selection,
        last=as_json.last if in_json else lambda end, tally: "",
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
    unread: Callable[[], bool] = lambda: False
    """Whether nobody reads any more what is shown."""
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
    from tracer.render.transitions import tally_line, tally_summary

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
