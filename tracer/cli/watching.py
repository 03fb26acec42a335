"""A trace whose probes are attached: what it shows, what it tells on stderr, and its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tracer.cli.streams import Results, say, tell
from tracer.cli.tracing import TraceOptions
from tracer.cli.view import (
    Showing,
    View,
    make_presenter,
    make_transitions,
    view_of_incidents,
    view_of_transitions,
)
from tracer.link import CLOSED_WINDOW_NS, SETTLE_NS
from tracer.present import Renderer
from tracer.ready import write_ready
from tracer.recording.errors import RecordingError
from tracer.recording.sink import Sink
from tracer.select import selection_of
from tracer.signals import Stop
from tracer.system.machine import ThisMachine
from tracer.system.own_status import own_status
from tracer.system.targets import Targets
from tracer.text import clean
from tracer.trace import Plan, Session, Trace

if TYPE_CHECKING:
    from tracer.metrics.tally import Tally


class Watch:
    """One run of `live`, `record`, `states` or `top`.

    ``began`` is when the command did (time.monotonic). ``silent`` takes the incidents of
    a trace that shows nothing.
    """

    def __init__(
        self, options: TraceOptions, targets: Targets, began: float, silent: Renderer
    ) -> None:
        self._options = options
        self._targets = targets
        self._began = began
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._recording_failed = False
        self._view = _view(options, targets, silent)

    def run(self, session: Session, writer: Sink | None, stop: Stop) -> None:
        """Trace until something ends it. Raises what ends it before its time."""
        view = self._view
        machine = ThisMachine(self._targets.containers, view.say)
        trace = Trace(
            view.attach(session, stop),
            machine,
            view.consumer,
            self._plan(),
            stop,
            view.say,
            writer=writer,
            ready=self._ready,
            status=self._status(),
            unread=view.unread,
        )
        try:
            trace.run()
        finally:
            view.end()
            machine.containers.close()
        self._recording_failed = trace.recording_failed

    def sum_up(self) -> None:
        """The last words. Raises RecordingError if the recording is not whole."""
        self._view.sum_up()
        if self._recording_failed:
            raise RecordingError(f"{self._options.write}: the recording is not complete")

    def _plan(self) -> Plan:
        return Plan(
            targets=self._targets,
            argv=tuple(map(clean, sys.argv)),
            closed_window_ns=self._options.closed_window_ns or CLOSED_WINDOW_NS,
            settle_ns=self._options.settle_ns or SETTLE_NS,
            count=self._options.count,
            selection=self._options.selection,
            duration_ns=self._options.duration_ns,
            only_targets=dict(self._options.selection).get("direction") == "in",
            recording_only=not self._options.output_format,
        )

    def _ready(self) -> None:
        """All is known: tell whoever waits for it."""
        if self._options.verbose:
            taken = time.monotonic() - self._began
            say(f"ready after {taken:.2f} s, peak memory {_peak_memory()}")
        if self._on_terminal and self._view.status is not None:
            tell(f"{self._view.status(0)}; Ctrl-C ends it")
        self._view.begin()
        if self._options.ready_file:
            write_ready(self._options.ready_file)

    def _status(self) -> Callable[[int], None] | None:
        """On a terminal a line now and then; a file or a pipe is spared them."""
        line = self._view.status
        if not self._on_terminal or line is None:
            return None
        return lambda age_ns: tell(line(age_ns))


def _tally(address: tuple[str, int]) -> Tally:
    """What is served at an address from now on. Raises UdptraceError."""
    from tracer.metrics.endpoint import LOOPBACK, serve
    from tracer.metrics.tally import Tally

    host, port = address
    tally = Tally()
    say(f"metrics: {serve(tally, host or LOOPBACK, port)}")
    return tally


def _view(options: TraceOptions, targets: Targets, silent: Renderer) -> View:
    if options.top is not None:
        from tracer.cli.top_view import view_of_top

        return view_of_top(options, options.top, targets)
    results = Results()
    showing = Showing(
        output_format=options.output_format,
        color=options.color,
        write=results,
        targets=targets.inums,
        following=bool(targets.containers),
        settle_ns=options.settle_ns,
        selection=selection_of(options.selection),
    )
    if options.states:
        return replace(view_of_transitions(make_transitions(showing)), unread=results.closed)
    presenter = make_presenter(
        showing,
        closed_window_ns=options.closed_window_ns,
        limit=options.count,
        silent=silent,
        tally=_tally(options.metrics) if options.metrics else None,
    )
    view = view_of_incidents(presenter)
    # A mere recording shows nothing, whoever would read it.
    return replace(view, unread=results.closed) if options.output_format else view


def _peak_memory() -> str:
    """Of this process; getrusage() tells of the one that started it where that was larger."""
    told = own_status("VmHWM")  # "12345 kB"
    return f"{int(told.split()[0]) * 1024 / 1e6:.0f} MB" if told else "not known"
