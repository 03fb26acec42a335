"""A trace whose probes are attached: what it shows, what it tells on stderr, and its end."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from tracer.cli.streams import say, show, tell
from tracer.cli.tracing import TraceOptions
from tracer.cli.view import make_presenter, tell_summary
from tracer.link import CLOSED_WINDOW_NS, SETTLE_NS
from tracer.present import Renderer
from tracer.ready import write_ready
from tracer.recording.errors import RecordingError
from tracer.recording.sink import Sink
from tracer.select import selection_of
from tracer.signals import Stop
from tracer.summary import status_line
from tracer.system.machine import ThisMachine
from tracer.system.targets import Targets
from tracer.text import clean
from tracer.trace import Plan, Session, Trace


class Watch:
    """One run of `live` or `record`; ``began`` is when the command did (time.monotonic).

    ``silent`` takes the incidents of a trace that shows nothing.
    """

    def __init__(
        self, options: TraceOptions, targets: Targets, began: float, silent: Renderer
    ) -> None:
        self._options = options
        self._targets = targets
        self._began = began
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._recording_failed = False
        self._presenter = make_presenter(
            options.output_format,
            options.color,
            show,
            targets=targets.inums,
            following=bool(targets.containers),
            closed_window_ns=options.closed_window_ns,
            settle_ns=options.settle_ns,
            limit=options.count,
            selection=selection_of(options.selection),
            silent=silent,
        )

    def run(self, session: Session, writer: Sink | None, stop: Stop) -> None:
        """Trace until something ends it. Raises what ends it before its time."""
        machine = ThisMachine(self._targets.containers, say)
        trace = Trace(
            session,
            machine,
            self._presenter,
            self._plan(),
            stop,
            say,
            writer=writer,
            ready=self._ready,
            status=self._status(),
        )
        try:
            trace.run()
        finally:
            machine.containers.close()
        self._recording_failed = trace.recording_failed

    def sum_up(self) -> None:
        """The last words. Raises RecordingError if the recording is not whole."""
        tell_summary(self._presenter.stats)
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
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            taken = time.monotonic() - self._began
            say(f"ready after {taken:.2f} s, peak memory {peak_mb:.0f} MB")
        if self._on_terminal:
            tell(f"{status_line(self._presenter.stats, 0)}; Ctrl-C ends it")
        if self._options.ready_file:
            write_ready(self._options.ready_file)

    def _status(self) -> Callable[[int], None] | None:
        """On a terminal a line now and then; a file or a pipe is spared them."""
        if not self._on_terminal:
            return None
        return lambda age_ns: tell(status_line(self._presenter.stats, age_ns))
