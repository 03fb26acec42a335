"""The recording that the options of a trace ask for: a file, several in turn, or a ring."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from tracer.cli.streams import say
from tracer.errors import UsageError

if TYPE_CHECKING:
    from tracer.cli.tracing import TraceOptions
    from tracer.events import Event
    from tracer.link import IncidentUpdate
    from tracer.recording.sink import Sink

ANY = "any"
"""Every cause, as --trigger has it."""

RING_BYTES = 64 << 20
RING_FILES = 10

AFTER_NS = 5_000_000_000
"""How long an incident is followed before what the ring holds is written."""

APART_NS = 60_000_000_000
"""Incidents have files written no more often than this."""


def check_bounds(options: TraceOptions) -> None:
    """Raises UsageError for options that mean nothing without each other."""
    bounded = options.max_size is not None or options.ring_ns is not None
    if bounded and options.write in (None, "-"):
        option = "--max-size" if options.ring_ns is None else "--ring"
        raise UsageError(f"{option}: name a file to write with -w FILE")
    if options.max_files is not None and not bounded:
        raise UsageError("--max-files: of what size? add --max-size SIZE")
    if options.triggers and options.ring_ns is None:
        raise UsageError("--trigger: there is nothing to write without --ring DURATION")


def open_recording(options: TraceOptions, requests: Requests) -> Sink | None:
    """What keeps the events; None where that is not asked for. Raises RecordingError."""
    if options.write is None:
        return None
    # Each imported only where it is asked for: see tracer.cli.tracing.
    if options.ring_ns is not None:
        from tracer.recording.ring import Ring

        requests.install()
        return Ring(
            options.write,
            options.ring_ns,
            options.max_size or RING_BYTES,
            options.max_files or RING_FILES,
            requests.due,
            say,
        )
    if options.max_size is not None:
        from tracer.link import SETTLE_NS
        from tracer.recording.rotation import Rotation

        settle_ns = options.settle_ns or SETTLE_NS
        return Rotation(options.write, options.max_size, options.max_files, settle_ns)
    from tracer.recording.writer import Writer

    return Writer(options.write)


class Requests:
    """Why a ring is to be written: SIGUSR1, or an incident with one of ``causes``.

    It is a renderer (tracer.present) that notes incidents and shows nothing.
    """

    def __init__(self, causes: tuple[str, ...], now: Callable[[], int] = time.monotonic_ns) -> None:
        self._causes = causes
        self._now = now
        self._signalled = False
        self._cause: str | None = None
        self._not_before = now()

    def install(self) -> None:
        """Take SIGUSR1 for a request from now on."""
        signal.signal(signal.SIGUSR1, self._caught)

    def due(self) -> str | None:
        """The reason to write, once for each; None while there is none."""
        if self._signalled:
            self._signalled = False
            return "signal"
        if self._cause is None or self._now() < self._not_before:
            return None
        cause, self._cause = self._cause, None
        self._not_before = self._now() + APART_NS
        return f"incident: {cause}"

    def event(self, event: Event) -> str:
        """Nothing."""
        return ""

    def update(self, update: IncidentUpdate) -> str:
        """Nothing; an incident that is new, or whose cause is, is noted."""
        cause, previous = update.incident.cause, update.previous
        known = previous is not None and previous.cause is cause
        if not known and self._cause is None and (ANY in self._causes or cause in self._causes):
            self._cause = cause.value
            self._not_before = max(self._not_before, self._now() + AFTER_NS)
        return ""

    def _caught(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
