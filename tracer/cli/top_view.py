"""What `top` shows of a live trace: a screen, blocks of lines, or JSON."""

from __future__ import annotations

import time
from collections.abc import Callable

from tracer.cli.screen import Screen
from tracer.cli.streams import Results, say
from tracer.cli.tracing import TopOptions, TraceOptions
from tracer.cli.view import View, tell_summary
from tracer.link import CLOSED_WINDOW_NS, SETTLE_NS, Linker
from tracer.render.escape import line
from tracer.render.top import jsonl, plain
from tracer.select import selection_of
from tracer.signals import Stop
from tracer.system.drops import DropReader
from tracer.system.targets import Targets
from tracer.targets import TargetSet
from tracer.top.consume import Top
from tracer.top.display import Display
from tracer.top.model import Snapshot
from tracer.top.rows import rows
from tracer.top.session import CountedSession
from tracer.trace import Session

_SHARE = 10
"""The reading of drops may take this part of an interval."""

_LONGEST_NS = 200_000_000
"""And no longer than this: events wait meanwhile."""

_NOTICES = 20
"""What the user was to know while there was a screen: told after it, the latest."""


def view_of_top(options: TraceOptions, top: TopOptions, targets: Targets) -> View:
    """The view of `top`."""
    if options.output_format == "screen":
        return _on_screen(options, top, targets)
    layout = jsonl if options.output_format == "json" else plain
    results = Results()

    def put(snapshot: Snapshot) -> None:
        results(layout(snapshot, top.by, rows(snapshot, top.by, top.sort), top.lines))

    consumer = _consumer(options, top, targets, put)

    def attach(session: Session, stop: Stop) -> Session:
        return CountedSession(session, consumer, time.monotonic_ns)

    return View(
        consumer,
        None,
        lambda: tell_summary(consumer.stats),
        attach=attach,
        unread=results.closed,
    )


def _on_screen(options: TraceOptions, top: TopOptions, targets: Targets) -> View:
    display = Display(top.by, top.sort, top.interval_ns, top.lines)
    screen = Screen(display)
    notices: list[str] = []

    def put(snapshot: Snapshot) -> None:
        display.take(snapshot)
        screen.draw()

    def note(text: str) -> None:
        """Not on stderr, which is the screen's terminal: told there at once, and after it."""
        if not screen.taken:
            say(text)
            return
        notices.append(text)
        del notices[:-_NOTICES]
        display.notice = line(text)
        screen.draw()

    consumer = _consumer(options, top, targets, put)

    def attach(session: Session, stop: Stop) -> Session:
        def step() -> None:
            screen.step()
            if screen.quit:
                stop.reason = stop.reason or "interrupted"

        return CountedSession(session, consumer, time.monotonic_ns, step)

    def sum_up() -> None:
        for notice in notices:
            say(notice)
        tell_summary(consumer.stats)

    return View(consumer, None, sum_up, say=note, attach=attach, begin=screen.begin, end=screen.end)


def _consumer(
    options: TraceOptions, top: TopOptions, targets: Targets, put: Callable[[Snapshot], None]
) -> Top:
    following = bool(targets.containers)
    linker = Linker(
        frozenset(targets.inums),
        following=following,
        closed_window_ns=options.closed_window_ns or CLOSED_WINDOW_NS,
        settle_ns=options.settle_ns or SETTLE_NS,
        selection=selection_of(options.selection),
    )
    return Top(
        linker,
        put,
        DropReader(min(top.interval_ns // _SHARE, _LONGEST_NS)),
        interval_ns=top.interval_ns,
        refreshes=top.refreshes,
        targets=TargetSet(targets.inums, following=following),
        every_socket=not options.selection,
    )
