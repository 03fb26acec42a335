"""What `live` and `record` share: a live trace, from the options to the exit code."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracer.cli.streams import say, show, tell
from tracer.cli.view import make_presenter, tell_summary
from tracer.link import CLOSED_WINDOW_NS
from tracer.present import Presenter
from tracer.ready import remove_ready, write_ready
from tracer.recording.errors import RecordingError
from tracer.recording.writer import Writer
from tracer.signals import Stop
from tracer.summary import status_line
from tracer.system.machine import ThisMachine
from tracer.system.targets import Targets, resolve_targets
from tracer.text import clean
from tracer.trace import Plan, Trace

if TYPE_CHECKING:
    from tracer.kernel.session import Session


@dataclass(frozen=True)
class TraceOptions:
    """The options of `live` and `record`."""

    netns: tuple[str, ...]
    pids: tuple[int, ...]
    closed_window_ns: int | None
    duration_ns: int | None
    count: int | None
    ready_file: str | None
    lookups: str
    verbose: bool
    write: str | None
    output_format: str = ""
    """Empty for a trace that is only recorded."""
    color: str = "never"


def run_trace(options: TraceOptions) -> None:
    """Trace until it is ended. Raises UdptraceError and what else ends a command."""
    began = time.monotonic()
    stop = Stop()
    stop.install()
    if options.ready_file:
        remove_ready(options.ready_file)
    targets = resolve_targets(options.netns, options.pids)
    presenter = _presenter(options, targets)
    with ExitStack() as stack:
        writer = stack.enter_context(closing(Writer(options.write))) if options.write else None
        session = stack.enter_context(closing(_open_session(options)))
        trace = Trace(
            session,
            ThisMachine(),
            presenter,
            _plan(options, targets),
            stop,
            say,
            writer=writer,
            ready=lambda: _ready(options, began, presenter),
            status=_status(presenter),
        )
        trace.run()
    tell_summary(presenter.stats)
    if trace.recording_failed:
        raise RecordingError(f"{options.write}: the recording is not complete")


def _presenter(options: TraceOptions, targets: Targets) -> Presenter:
    return make_presenter(
        options.output_format,
        options.color,
        show,
        targets=targets.inums,
        closed_window_ns=options.closed_window_ns,
        limit=options.count,
    )


def _plan(options: TraceOptions, targets: Targets) -> Plan:
    return Plan(
        targets=targets,
        argv=tuple(map(clean, sys.argv)),
        closed_window_ns=options.closed_window_ns or CLOSED_WINDOW_NS,
        count=options.count,
        duration_ns=options.duration_ns,
        recording_only=not options.output_format,
    )


def _open_session(options: TraceOptions) -> Session:
    """Probes attached and proven; BCC is imported here and not before."""
    from tracer.kernel.session import Phases, Session

    phases = Phases()
    session = Session(lookups=options.lookups == "on", phases=phases)
    if options.verbose:
        for name, seconds in phases.taken:
            say(f"{name}: {seconds:.2f} s")
        say(f"probes: {', '.join(session.probes)}")
        for name, reason in session.missing:
            say(f"without {name}: {reason}")
    return session


def _ready(options: TraceOptions, began: float, presenter: Presenter) -> None:
    """All is known: tell whoever waits for it."""
    if options.verbose:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        say(f"ready after {time.monotonic() - began:.2f} s, peak memory {peak} MB")
    if sys.stderr is not None and sys.stderr.isatty():
        tell(f"{status_line(presenter.stats, 0)}; Ctrl-C ends it")
    if options.ready_file:
        write_ready(options.ready_file)


def _status(presenter: Presenter) -> Callable[[int], None] | None:
    """On a terminal a line now and then; a file or a pipe is spared them."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    return lambda age_ns: tell(status_line(presenter.stats, age_ns))
