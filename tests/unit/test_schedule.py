"""What a trace does by the clock."""

from __future__ import annotations

from tracer.schedule import CLOCK_NS, GRACE_NS, IDLE_MS, Schedule

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


def test_clock_anchors_come_each_minute() -> None:
    schedule = Schedule(0, None)
    times = [t for t in range(0, 3 * CLOCK_NS + 1, S) if schedule.clock_due(t)]
    assert times == [CLOCK_NS, 2 * CLOCK_NS, 3 * CLOCK_NS]


def test_status_lines_become_rarer() -> None:
    schedule = Schedule(0, None)
    times = [t // S for t in range(0, 1000 * S, S) if schedule.status_due(t)]
    assert times == [10, 30, 60, 120, 300, 600, 900]
