"""Which namespaces' counters are read, and which readings are news."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.unit.build import BOX, HOST, OTHER, counters, namespace
from tracer.counting import Counting
from tracer.events import Counters
from tracer.system.netns import Netns

COST = 1000


@dataclass
class Machine:
    """Namespaces and their counters; reading one takes a while."""

    readings: dict[int, Counters] = field(default_factory=dict)
    entered: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    time: int = 0

    def now(self) -> int:
        return self.time

    def namespaces(self) -> dict[int, Netns]:
        return {inum: Netns(inum, None, "") for inum in self.readings}

    def counters(self, netns: Netns) -> Counters | None:
        self.time += COST
        self.entered.append(netns.inum)
        found = self.readings.get(netns.inum)
        return found and replace(found, time=self.time, until=self.time)

    def have(self, *readings: Counters) -> None:
        self.readings = {reading.inum: reading for reading in readings}


def _told(readings: list[Counters]) -> list[tuple[int, int, bool]]:
    """Of each reading its namespace, NoPorts (-1: gone) and whether it is final."""
    return [(r.inum, dict(r.values).get("UdpNoPorts", -1), r.final) for r in readings]


def _all(counting: Counting, *, final: bool = False) -> list[tuple[int, int, bool]]:
    counting.want_all()
    found = []
    while counting.pending:
        found += _told(counting.batch(10 * COST, final=final))
    return found


def _bench(*readings: Counters, limit: int = 10) -> tuple[Machine, Counting]:
    machine = Machine()
    machine.have(*readings)
    return machine, Counting(machine, machine.said.append, limit)


def test_the_first_reading_and_changes_are_news() -> None:
    machine, counting = _bench(counters(1, HOST, UdpNoPorts=1), counters(1, BOX, UdpNoPorts=0))
    assert _all(counting) == [(HOST, 1, False), (BOX, 0, False)]
    assert _all(counting) == []
    machine.have(counters(1, HOST, UdpNoPorts=1), counters(1, BOX, UdpNoPorts=4))
    assert _all(counting) == [(BOX, 4, False)]
    # At the end it must show which were read then.
    assert _all(counting, final=True) == [(HOST, 1, True), (BOX, 4, True)]


def test_a_batch_takes_no_longer_than_it_may() -> None:
    machine, counting = _bench(*(counters(1, inum, UdpNoPorts=1) for inum in (HOST, BOX, OTHER)))
    counting.want_all()
    assert len(counting.batch(0)) == 1
    assert len(counting.batch(2 * COST)) == 2
    assert not counting.pending
    assert counting.batch(0) == []
    assert len(machine.entered) == 3


def test_a_namespace_that_went_tells_so_once() -> None:
    machine, counting = _bench(counters(1, HOST, UdpNoPorts=1), counters(1, BOX, UdpNoPorts=2))
    _all(counting)
    machine.have(counters(1, HOST, UdpNoPorts=1))
    assert _all(counting) == [(BOX, -1, False)]
    assert _all(counting, final=True) == [(HOST, 1, True)]


def test_one_that_went_between_list_and_look() -> None:
    machine, counting = _bench(counters(1, BOX, UdpNoPorts=2))
    _all(counting)
    counting.want_all()
    machine.have()
    assert _told(counting.batch(COST)) == [(BOX, -1, False)]


def test_a_reused_number_is_another_namespace() -> None:
    machine, counting = _bench(counters(1, BOX, UdpNoPorts=2))
    _all(counting)
    machine.have(counters(1, BOX, cookie=99, UdpNoPorts=2))
    counting.want_all()
    gone, new = counting.batch(COST)
    assert (gone.cookie, gone.values) == (7, ())
    assert (new.cookie, new.values) == (99, (("UdpNoPorts", 2),))


def test_one_met_in_the_log_is_read_at_once_and_once() -> None:
    machine, counting = _bench()
    counting.meet([namespace(1, BOX, "box")])
    assert [counting.pending] == [True]
    assert counting.batch(COST) == []  # gone already
    assert [counting.pending] == [False]
    machine.have(counters(1, BOX, UdpNoPorts=2))
    counting.meet([namespace(1, BOX, "box")])
    assert _told(counting.batch(COST)) == [(BOX, 2, False)]
    counting.meet([namespace(1, BOX, "renamed")])
    assert not counting.pending


def test_there_is_a_limit_and_it_is_said_once() -> None:
    machine, counting = _bench(
        *(counters(1, inum, UdpNoPorts=1) for inum in (HOST, BOX, OTHER)), limit=2
    )
    assert len(_all(counting)) == 2
    assert len(_all(counting, final=True)) == 2
    assert machine.said == ["the counters of no more than 2 network namespaces are read"]
    # One that goes makes room.
    machine.have(counters(1, BOX, UdpNoPorts=1), counters(1, OTHER, UdpNoPorts=1))
    assert (OTHER, 1, False) in _all(counting)
