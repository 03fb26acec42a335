"""What a live trace does by the clock: anchors, status lines, its end, and how long to wait."""

from __future__ import annotations

from tracer.events import Clock

IDLE_MS = 250
"""The longest wait for an event: signals, flushes and look-ups must not wait longer."""

GRACE_NS = 20_000_000
"""How late an event may come out of the kernel's buffer: time is known to have passed only then."""

CLOCK_NS = 60_000_000_000
"""A clock anchor is recorded this often."""

STEP_NS = 100_000_000
"""Clocks that drift apart by more meanwhile do not drift: the time of day was set. What keeps it
right without setting it (adjtime) moves it by 30 ms a minute at most."""

SURVEY_NS = 60_000_000_000
"""The namespaces are looked at again this often."""

STATUS_S = (10, 30, 60, 120, 300)
"""When the first status lines come, seconds after the start; then one as often as the last."""

_SECOND = 1_000_000_000


def clock_moved(last: Clock, now: Clock) -> bool:
    """Whether how the clocks stand is to be recorded again: a minute later, or after a step."""
    drift = (now.realtime_ns - now.time) - (last.realtime_ns - last.time)
    return now.time - last.time >= CLOCK_NS or abs(drift) >= STEP_NS


class Schedule:
    """The times of one trace, in monotonic nanoseconds, from its start on."""

    def __init__(self, start: int, duration_ns: int | None) -> None:
        self._start = start
        self._end = None if duration_ns is None else start + duration_ns
        self._next_survey = start + SURVEY_NS
        self._statuses = 0

    def elapsed(self, now: int) -> int:
        """Nanoseconds since the start."""
        return now - self._start

    def over(self, now: int) -> bool:
        """The trace has lasted as long as it was to."""
        return self._end is not None and now >= self._end

    def survey_due(self, now: int) -> bool:
        """True once for each time a look at the namespaces is due."""
        if now < self._next_survey:
            return False
        self._next_survey = now + SURVEY_NS
        return True

    def status_due(self, now: int) -> bool:
        """True once for each time a status line is due."""
        last = len(STATUS_S) - 1
        seconds = STATUS_S[min(self._statuses, last)]
        seconds += STATUS_S[last] * max(0, self._statuses - last)
        if now < self._start + seconds * _SECOND:
            return False
        self._statuses += 1
        return True

    def wait_ms(self, now: int, deadline: int | None) -> int:
        """How long to wait for an event when the consumer has a deadline: up to `IDLE_MS`."""
        until = now + IDLE_MS * 1_000_000
        if deadline is not None:
            until = min(until, deadline + GRACE_NS)
        if self._end is not None:
            until = min(until, self._end)
        return max(0, -(-(until - now) // 1_000_000))
