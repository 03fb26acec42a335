"""What `live`, `record`, `states` and `top` share: from the options to a running trace.

What is not needed before the compiler runs is imported after it (tracer.cli.watching): compiling is
the peak of the memory used, and what the compiler gives back serves for the rest.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracer.cli.keeping import Requests, check_bounds, open_recording
from tracer.cli.streams import PROG, say
from tracer.errors import StartError, UdptraceError, UsageError
from tracer.ready import remove_ready
from tracer.signals import Stop
from tracer.system.targets import Targets, resolve_targets

if TYPE_CHECKING:
    from tracer.kernel.session import Session
    from tracer.top.model import By, Sort


@dataclass(frozen=True)
class TopOptions:
    """The options that only `top` has; ``lines``: None for as many rows as there is room for."""

    interval_ns: int
    refreshes: int | None
    by: By
    sort: Sort
    lines: int | None


@dataclass(frozen=True)
class TraceOptions:
    """The options of `live`, `record`, `states` and `top`."""

    netns: tuple[str, ...]
    pids: tuple[int, ...]
    containers: tuple[str, ...]
    wait: bool
    settle_ns: int | None
    duration_ns: int | None
    ready_file: str | None
    verbose: bool
    write: str | None
    selection: tuple[tuple[str, str], ...]
    """The filters, as tracer.select has them in pairs."""
    output_format: str = ""
    """Empty for a trace that is only recorded."""
    color: str = "never"
    closed_window_ns: int | None = None
    count: int | None = None
    lookups: str | None = None
    all_icmp: bool = False
    snaplen: int = 0
    max_size: int | None = None
    max_files: int | None = None
    ring_ns: int | None = None
    triggers: tuple[str, ...] = ()
    states: bool = False
    """Transitions of sockets are shown, not incidents."""
    top: TopOptions | None = None
    """A table of rates is shown, not each incident."""
    metrics: tuple[str, int] | None = None
    """The host, empty for loopback, and the port that serve them."""


def run_trace(options: TraceOptions) -> None:
    """Trace until it is ended. Raises UdptraceError and what else ends a command."""
    began = time.monotonic()
    check_bounds(options)
    if options.metrics is not None:
        from tracer.metrics.endpoint import require

        require()
    stop, requests = Stop(), Requests(options.triggers)
    stop.install()
    if options.ready_file:
        remove_ready(options.ready_file)
    targets = _targets(options)
    with ExitStack() as stack:
        recording = open_recording(options, requests)
        if recording is not None:
            stack.enter_context(closing(recording))
        session = stack.enter_context(closing(_open_session(options)))
        from tracer.cli.watching import Watch

        watch = Watch(options, targets, began, requests)
        watch.run(session, recording, stop)
    watch.sum_up()


def _targets(options: TraceOptions) -> Targets:
    """What is asked for, after a look whether it is there. Raises UsageError."""
    if options.wait and not options.containers:
        raise UsageError("--wait: for what? add -c NAME")
    targets = resolve_targets(options.netns, options.pids, options.containers)
    direction = dict(options.selection).get("direction", "both")
    if direction != "both" and not targets:
        raise UsageError(f"--direction {direction}: of what? add -c, -N or -p")
    if not targets.containers:
        return targets
    # Only now: most traces ask for none.
    from tracer.system.containers.resolve import check

    checked = check(targets.containers, wait=options.wait)
    for line in checked.lines:
        say(line)
    names = (f"container {spec}" for spec in checked.fixed)
    return Targets(
        (*targets.inums, *checked.fixed.values()), (*targets.names, *names), checked.followed
    )


def wants_lookups(choice: str | None, ring_ns: int | None) -> bool:
    """Whether the receive path is probed: not, by default, for a ring, which runs for weeks."""
    return ring_ns is None if choice is None else choice == "on"


def _open_session(options: TraceOptions) -> Session:
    """Probes attached and proven; BCC is imported here and not before."""
    from tracer.kernel.program import Variant
    from tracer.kernel.session import Phases, Session

    phases = Phases()
    lookups = wants_lookups(options.lookups, options.ring_ns)
    try:
        variant = Variant(lookups, options.all_icmp, options.snaplen, options.states)
        session = Session(variant, phases)
    except StartError as error:
        # Where the remedy is a command of ours, that one tells the rest.
        more = "" if PROG in error.remedy else f"; `{PROG} doctor` says what else is in the way"
        raise UdptraceError(f"{error}{more}") from error
    for finding in session.lacking:
        say(f"{finding.detail}: {finding.lost}")
    if options.verbose:
        for name, seconds in phases.taken:
            say(f"{name}: {seconds:.2f} s")
        if phases.compiler_mb is not None:
            say(f"memory of the compiler, which has ended: {phases.compiler_mb:.0f} MB")
        say(f"probes: {', '.join(session.probes)}")
        for name, reason in session.missing:
            say(f"without {name}: {reason}")
    return session
