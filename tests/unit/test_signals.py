"""Signals end a trace between two events, and never a trace that can be ended well by force."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tracer.signals import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def stop() -> Iterator[Stop]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop = Stop()
    stop.install()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


def _raise(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_before_the_trace_began_there_is_nothing_to_end_well(
    stop: Stop, number: signal.Signals
) -> None:
    with pytest.raises(KeyboardInterrupt):
        _raise(number)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "terminated"),
    ],
)
def test_the_reason_is_noted(stop: Stop, number: signal.Signals, reason: str) -> None:
    stop.begin()
    assert stop.reason is None
    _raise(number)
    assert stop.reason == reason


def test_a_second_ctrl_c_is_not_waited_for(stop: Stop) -> None:
    stop.begin()
    _raise(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _raise(signal.SIGINT)


def test_two_signals_of_one_stop_are_one(stop: Stop) -> None:
    stop.begin()
    _raise(signal.SIGTERM)
    _raise(signal.SIGHUP)  # systemd and a closed terminal send both
    assert stop.reason == "terminated"


def test_nohup_is_respected() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        Stop().install()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
