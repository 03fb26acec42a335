"""The table of misses, read from user space: exact counts, each reported once."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tracer.events import Expired, MissCount
from tracer.kernel.misses import IDLE_NS, MissTable
from tracer.wire import MissKey, MissValue


class FakeTable:
    """A table of misses in memory."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[MissKey, MissValue]] = {}
        self.missing_meanwhile = 0
        """The total of what is taken out, if it has grown by then."""

    def put(
        self, port: int, total: int, streamed: bool = True, since: int = 10, sent: int = 0
    ) -> None:
        key = MissKey(netns=1, dport=port, family=socket.AF_INET)
        value = MissValue(
            since_ns=since, last_ns=1000, total=total, streamed_ns=int(streamed), sent=sent
        )
        self.entries[port] = (key, value)

    def misses(self) -> Iterator[tuple[MissKey, MissValue]]:
        yield from list(self.entries.values())

    def take_miss(self, key: MissKey) -> MissValue | None:
        if self.missing_meanwhile:
            self.put(key.dport, total=self.missing_meanwhile)
        _, value = self.entries.pop(key.dport, (None, None))
        return value


def totals(table: MissTable, now: int = 2000) -> list[tuple[int, int]]:
    return [
        (event.datagram.dport, event.total)
        for event in table.read(now)
        if isinstance(event, MissCount)
    ]


def test_a_miss_that_was_streamed_once_is_no_news() -> None:
    fake = FakeTable()
    fake.put(53, total=1)
    assert totals(MissTable(fake)) == []


def test_a_miss_whose_evidence_was_lost_is_reported() -> None:
    fake = FakeTable()
    fake.put(53, total=1, streamed=False)
    assert totals(MissTable(fake)) == [(53, 1)]


def test_a_repeat_is_reported_once() -> None:
    fake = FakeTable()
    table = MissTable(fake)
    fake.put(53, total=17)
    assert totals(table) == [(53, 17)]
    assert totals(table) == []
    fake.put(53, total=18)
    assert totals(table) == [(53, 18)]


def test_an_icmp_that_left_after_the_reading_is_told() -> None:
    fake = FakeTable()
    table = MissTable(fake)
    fake.put(53, total=17, sent=16)
    assert totals(table) == [(53, 17)]
    fake.put(53, total=17, sent=17)
    assert totals(table) == [(53, 17)]
    assert totals(table) == []


def test_an_idle_key_makes_room_only_after_its_count_was_reported() -> None:
    fake = FakeTable()
    table = MissTable(fake)
    fake.put(53, total=17)
    late = 1000 + IDLE_NS + 1
    assert totals(table, late) == [(53, 17)]
    assert 53 in fake.entries
    assert table.read(late) == [Expired(late, late - IDLE_NS)]
    assert 53 not in fake.entries
    assert table.read(late + 1) == []


def test_what_misses_while_its_key_is_dropped_is_counted() -> None:
    fake = FakeTable()
    table = MissTable(fake)
    fake.put(53, total=17)
    late = 1000 + IDLE_NS + 1
    table.read(late)
    fake.missing_meanwhile = 18
    assert totals(table, late) == [(53, 18)]
    assert 53 not in fake.entries


def test_a_key_that_came_back_is_a_new_first_time() -> None:
    fake = FakeTable()
    table = MissTable(fake)
    fake.put(53, total=17)
    assert totals(table) == [(53, 17)]
    fake.put(53, total=17, since=500)
    assert totals(table) == [(53, 17)]


def test_the_self_tests_keys_are_forgotten_and_no_others() -> None:
    fake = FakeTable()
    fake.put(53, total=5)
    fake.put(54, total=5)
    MissTable(fake).forget(lambda event: event.datagram.dport == 53)
    assert list(fake.entries) == [54]
