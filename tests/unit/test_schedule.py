"""What a trace does by the clock."""

from __future__ import annotations

from tracer.events import Clock
from tracer.schedule import (
    CLOCK_NS,
    GRACE_NS,
    IDLE_MS,
    STEP_NS,
    SURVEY_NS,
    Schedule,
    clock_moved,
)

S = 1_000_000_000
MS = 1_000_000


def test_it_is_over_after_its_duration() -> None:
    assert not Schedule(5, 10 * S).over(5 + 10 * S - 1)
    assert Schedule(5, 10 * S).over(5 + 10 * S)
    assert not Schedule(5, None).over(1 << 62)


def test_waits_end_with_what_comes_first() -> None:
    schedule = Schedule(0, 1 * S)
    assert schedule.wait_ms(0, None) == IDLE_MS
    assert schedule.wait_ms(0, 10 * S) == IDLE_MS
    assert schedule.wait_ms(0, 50 * MS) == 50 + GRACE_NS // MS
    assert schedule.wait_ms(0, 50 * MS + 1) == 51 + GRACE_NS // MS  # never too early, then again
    assert schedule.wait_ms(0, -5 * S) == 0
    assert schedule.wait_ms(1 * S - 7 * MS, None) == 7
    assert schedule.wait_ms(2 * S, None) == 0


def test_the_namespaces_are_looked_at_each_minute() -> None:
    schedule = Schedule(0, None)
    times = [t for t in range(0, 3 * SURVEY_NS + 1, S) if schedule.survey_due(t)]
    assert times == [SURVEY_NS, 2 * SURVEY_NS, 3 * SURVEY_NS]


def test_a_clock_moves_by_time_or_by_a_step() -> None:
    last = Clock(5 * S, 1000 * S, 5 * S)
    slewed = STEP_NS - 1
    assert not clock_moved(last, Clock(6 * S, 1001 * S + slewed, 6 * S))
    assert not clock_moved(last, Clock(6 * S, 1001 * S - slewed, 6 * S))
    assert clock_moved(last, Clock(6 * S, 1001 * S + STEP_NS, 6 * S))
    assert clock_moved(last, Clock(6 * S, 1001 * S - STEP_NS, 6 * S))
    assert not clock_moved(last, Clock(5 * S + CLOCK_NS - 1, 1000 * S + CLOCK_NS - 1, 0))
    assert clock_moved(last, Clock(5 * S + CLOCK_NS, 1000 * S + CLOCK_NS, 0))


def test_status_lines_become_rarer() -> None:
    schedule = Schedule(0, None)
    times = [t // S for t in range(0, 1000 * S, S) if schedule.status_due(t)]
    assert times == [10, 30, 60, 120, 300, 600, 900]
