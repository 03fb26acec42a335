"""The clock anchor is one moment."""

from __future__ import annotations

import time
import uuid

from tracer.system.clock import boot_id, read_clock


def test_the_three_clocks_are_of_one_moment() -> None:
    before = time.monotonic_ns()
    anchor = read_clock()
    assert before <= anchor.time <= time.monotonic_ns()
    assert abs((time.time_ns() - time.monotonic_ns()) - (anchor.realtime_ns - anchor.time)) < 10**8
    assert anchor.boottime_ns >= anchor.time - 10**6


def test_the_boot_has_a_name() -> None:
    assert uuid.UUID(boot_id())
