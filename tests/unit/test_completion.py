"""Short walks are completed at once, for every miss that asks, and not without bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.unit.build import BOX, HOST, bind, gram, miss, sock, task, tick, walk
from tracer.completion import BURST_NS, NEAREST, PORT_NS, SHARE, Completion
from tracer.events import Event, Miss, PortDump, SocketView, Walk

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
WALKED = sock("10.0.0.2:53", inode=1)
SHORT = walk(WALKED, truncated=True, visited=256)
MS = 1_000_000


class FakeReader:
    """A port whose sockets are given, in virtual time."""

    def __init__(self, *sockets: SocketView) -> None:
        self.sockets = sockets
        self.time = 0
        self.takes = 2 * MS
        self.each = 0
        self.why: str | None = None
        self.asked: list[tuple[int, int, int, tuple[int, ...]]] = []

    def now(self) -> int:
        return self.time

    def sockets_on_port(
        self,
        inum: int,
        cookie: int,
        port: int,
        hint_pids: Iterable[int],
        take: Callable[[SocketView], None],
    ) -> str | None:
        self.asked.append((inum, cookie, port, tuple(hint_pids)))
        self.time += self.takes
        for view in self.sockets:
            self.time += self.each
            take(view)
        return self.why


def crowd(number: int) -> list[SocketView]:
    return [sock("10.0.0.2:53", inode=inode) for inode in range(1, number + 1)]


def short(ms: float = 1, walked: Walk = SHORT, sport: int = 4000, netns: int = HOST) -> Miss:
    return miss(ms, gram(f"10.0.0.9:{sport}", "10.0.0.1:53"), walked=walked, netns=netns)


def dumps(events: Iterable[Event]) -> list[PortDump]:
    return [event for event in events if isinstance(event, PortDump)]


def test_what_was_read_comes_right_after_its_miss() -> None:
    reader = FakeReader(*crowd(3))
    missed = short()
    first, dump, last = Completion(reader).complete([missed, tick(2)])
    assert (first, last) == (missed, tick(2))
    assert isinstance(dump, PortDump)
    assert (dump.began, dump.time, dump.miss) == (0, 2 * MS, missed.time)
    assert (dump.netns, dump.netns_cookie, dump.port) == (HOST, 1, 53)
    assert (dump.total, dump.incomplete) == (3, None)
    # What the walk shows is in the miss already.
    assert [view.inode for view in dump.sockets] == [2, 3]


def test_lost_sockets_of_a_walk_are_read_too() -> None:
    reader = FakeReader(*crowd(2))
    (dump,) = dumps(Completion(reader).complete([short(walked=walk(WALKED, lost=1))]))
    assert [view.inode for view in dump.sockets] == [2]


def test_lookalike_a_walk_that_shows_all_is_left_alone() -> None:
    reader = FakeReader(*crowd(3))
    events: list[Event] = [
        miss(1, DATAGRAM, WALKED),
        miss(2, DATAGRAM, proven=False, no_walk=True),
        tick(3),
    ]
    assert Completion(reader).complete(events) == events
    assert reader.asked == []


def test_of_a_crowd_the_nearest_are_kept() -> None:
    near = sock("10.0.0.1:53", "10.0.0.9:4001", inode=9_999)
    reader = FakeReader(*crowd(2_000), near)
    (dump,) = dumps(Completion(reader).complete([short()]))
    assert dump.total == 2_001
    assert len(dump.sockets) == NEAREST
    assert dump.sockets[0] == near


def test_one_reading_serves_all_misses_of_the_moment_each_by_its_own_ranking() -> None:
    one = sock("10.0.0.1:53", "10.0.0.9:4001", inode=11)
    two = sock("10.0.0.1:53", "10.0.0.9:4002", inode=12)
    reader = FakeReader(*crowd(600), one, two)
    events = Completion(reader).complete([short(1, sport=4001), short(2, sport=4002)])
    assert [event.kind for event in events] == ["miss", "port", "miss", "port"]
    assert [dump.sockets[0] for dump in dumps(events)] == [one, two]
    assert len(reader.asked) == 1


def test_too_many_misses_at_a_moment_are_not_all_served() -> None:
    reader = FakeReader(*crowd(3))
    found = dumps(Completion(reader).complete([short(n, sport=n) for n in range(1, 40)]))
    served = [dump for dump in found if dump.incomplete is None]
    assert (len(found), len(served)) == (39, 16)
    assert found[-1].incomplete == "too many misses at that moment"
    assert (found[-1].total, found[-1].sockets) == (0, ())


def test_a_port_is_read_once_a_second() -> None:
    reader = FakeReader(*crowd(3))
    completion = Completion(reader)
    completion.complete([short(1)])
    reader.time += PORT_NS - 1
    (late,) = dumps(completion.complete([short(2, sport=4001)]))
    assert late.incomplete == "they were read less than a second before, for another datagram"
    (elsewhere,) = dumps(completion.complete([short(2, netns=BOX)]))
    assert elsewhere.incomplete is None
    reader.time += 1
    (again,) = dumps(completion.complete([short(3)]))
    assert again.incomplete is None
    assert [inum for inum, *_ in reader.asked] == [HOST, BOX, HOST]


def test_reading_takes_a_share_of_the_time_only() -> None:
    reader = FakeReader(*crowd(3))
    reader.takes = PORT_NS
    completion = Completion(reader)
    while dumps(completion.complete([short()]))[0].incomplete is None:
        reader.time += PORT_NS
    spent = len(reader.asked) * PORT_NS
    assert BURST_NS <= spent <= BURST_NS + 2 * PORT_NS
    (refused,) = dumps(completion.complete([short()]))
    assert refused.incomplete == "reading sockets has taken its share of the time"
    reader.time += SHARE * PORT_NS
    assert dumps(completion.complete([short()]))[0].incomplete is None
    # However long nothing was read: the burst is all there is to have.
    reader.time += 1000 * SHARE * PORT_NS
    reader.asked.clear()
    while dumps(completion.complete([short()]))[0].incomplete is None:
        reader.time += PORT_NS
    assert len(reader.asked) <= 3


def test_a_reading_that_takes_too_long_is_given_up_and_its_part_is_kept() -> None:
    reader = FakeReader(*crowd(10_000))
    reader.each = MS
    (dump,) = dumps(Completion(reader).complete([short()]))
    assert dump.total == 2048
    assert dump.incomplete == "2048 were read when it had taken too long"
    assert len(dump.sockets) == NEAREST


def test_why_it_is_not_all_is_kept_with_what_was_read() -> None:
    reader = FakeReader(*crowd(3))
    reader.why = "udp_diag: No such file or directory"
    (dump,) = dumps(Completion(reader).complete([short()]))
    assert (dump.total, dump.incomplete) == (3, reader.why)


def test_the_namespace_is_entered_through_a_process_seen_in_it() -> None:
    reader = FakeReader()
    here = sock("10.0.0.1:53", inode=3, netns=BOX)
    call = bind(1, here, by=task(77))
    Completion(reader).complete([replace(call, after=here), short(2, netns=BOX)])
    assert reader.asked == [(BOX, 7, 53, (77,))]
