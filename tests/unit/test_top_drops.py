"""The reading of drop counters: bounded, fair, and honest about what it could not read."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.unit.build import sock
from tracer.sockets.detail import Detail
from tracer.system import drops
from tracer.system.drops import DropReader
from tracer.system.netns import Doors

T = TypeVar("T")
BIG, OPEN, CLOSED, GONE = 1, 2, 3, 4
DETAIL = Detail(sock("0.0.0.0:53"), 0, 0, 3)


class Clock:
    """Goes on by itself with every look at it."""

    def __init__(self) -> None:
        self.time = 0

    def __call__(self) -> int:
        self.time += 1
        return self.time


class FakeDoors(Doors):
    """All lead into the thread's own namespace; a big one takes all the time there is."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.entered: list[int] = []

    def namespaces(self) -> tuple[int, ...]:
        return (OPEN, BIG, CLOSED)

    def enter(self, inum: int, function: Callable[[], T]) -> T:
        self.entered.append(inum)
        if inum in (CLOSED, GONE):
            raise LookupError(inum)
        if inum == BIG:
            self._clock.time += 1_000_000
        return function()


@pytest.fixture
def _one_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(family: int, netns: int, take: Callable[[Detail], None]) -> None:
        if family == socket.AF_INET:
            take(DETAIL)

    monkeypatch.setattr(drops, "read_details", read)


@pytest.mark.usefixtures("_one_socket")
def test_what_can_be_read_is_and_what_cannot_is_said() -> None:
    clock = Clock()
    reading = DropReader(100_000, FakeDoors(clock), clock)([OPEN, CLOSED, GONE])
    assert dict(reading.sockets) == {OPEN: [DETAIL]}
    assert (reading.gone, reading.late, reading.closed) == ((GONE,), 0, 1)


@pytest.mark.usefixtures("_one_socket")
def test_one_that_is_too_big_does_not_starve_the_others() -> None:
    clock = Clock()
    doors = FakeDoors(clock)
    reader = DropReader(100_000, doors, clock)
    first, second = reader([OPEN, BIG]), reader([OPEN, BIG])
    assert (dict(first.sockets), first.late) == ({}, 2)
    assert (dict(second.sockets), second.late) == ({OPEN: [DETAIL]}, 1)
    assert doors.entered == [BIG, OPEN, BIG]


def test_without_udp_diag_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: int, netns: int, take: object) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(drops, "read_details", refuse)
    clock = Clock()
    reading = DropReader(100_000, FakeDoors(clock), clock)([OPEN])
    assert (dict(reading.sockets), reading.closed) == ({}, 1)
