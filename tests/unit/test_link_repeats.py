"""Repeats: exact counts, whose they are, and when they are told."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    MS,
    OTHER,
    at,
    bind,
    close,
    count,
    end,
    expired,
    gram,
    header,
    miss,
    seen,
    sock,
    tick,
)
from tests.unit.linking import incidents, only, updates
from tracer.causes import Cause
from tracer.events import Clock, Event
from tracer.link import Linker

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
WRONG = sock("127.0.0.1:53", inode=3)


def test_an_incident_is_held_for_the_settle_time() -> None:
    linker = Linker()
    fed: list[Event] = [header(), miss(1000, DATAGRAM), tick(1199.9)]
    assert updates(fed, linker) == []
    assert linker.next_deadline() == at(1200)
    assert len(linker.feed(tick(1200))) == 1
    assert linker.next_deadline() is None


def test_the_event_that_makes_it_due_is_not_part_of_it() -> None:
    linker = Linker()
    updates([header(), miss(1000, DATAGRAM)], linker)
    (update,) = linker.feed(count(1200, DATAGRAM, 7, since=1000))
    assert update.incident.count == 1


def test_a_miss_read_late_is_still_held() -> None:
    linker = Linker()
    updates([header(), tick(5000), miss(1000, DATAGRAM)], linker)
    assert linker.next_deadline() == at(5200)


def test_what_misses_again_after_the_kernel_dropped_its_counter_is_counted_on() -> None:
    linker = Linker()
    began = 1000
    again: list[Event] = [
        miss(70_000, DATAGRAM),
        count(71_000, DATAGRAM, 3, since=70_000),
        end(80_000),
    ]
    updates([header(), miss(began, DATAGRAM), count(2000, DATAGRAM, 5, since=began)], linker)
    updates([expired(65_000, 5000), *again], linker)
    assert linker.stats.misses == 5 + 3


def test_what_the_kernel_still_counts_is_not_counted_twice() -> None:
    linker = Linker()
    updates([header(), miss(1000, DATAGRAM), count(6000, DATAGRAM, 5, since=1000)], linker)
    dropped = expired(65_000, 5000)
    updates([dropped, count(66_000, DATAGRAM, 6, since=1000), end(80_000)], linker)
    assert linker.stats.misses == 6


def test_flush_tells_what_is_held_when_there_was_no_end() -> None:
    linker = Linker()
    assert updates([header(), miss(1000, DATAGRAM)], linker) == []
    assert [u.incident.count for u in linker.flush()] == [1]
    assert linker.flush() == []


def test_counted_repeats_are_credited() -> None:
    incident = only(
        miss(1000, DATAGRAM, WRONG),
        count(2000, DATAGRAM, 5, since=1000, last=1990),
        count(3000, DATAGRAM, 9, since=1000, last=2500),
    )
    assert incident.count == 9
    assert incident.time is not None
    assert incident.last_time is not None
    assert incident.last_time - incident.time == 1500 * MS


def test_a_streamed_repeat_with_the_same_verdict_joins() -> None:
    incident = only(miss(1000, DATAGRAM, WRONG), miss(2000, DATAGRAM, WRONG, total=17, since=1000))
    assert incident.count == 17


def test_a_repeat_with_another_verdict_is_another_incident() -> None:
    first, second = incidents(
        seen(1, WRONG),
        miss(1000, DATAGRAM, WRONG),
        close(1500, WRONG),
        miss(2000, DATAGRAM, total=17, since=1000),
        count(3000, DATAGRAM, 20, since=1000),
    )
    assert (first.cause, first.count) == (Cause.LOCAL_ADDRESS, 16)
    assert (second.cause, second.count) == (Cause.NO_SOCKET, 4)
    assert first.id != second.id


def test_the_same_cause_by_another_socket_is_another_incident() -> None:
    other = sock("127.0.0.2:53", inode=4)
    found = incidents(miss(1000, DATAGRAM, WRONG), miss(2000, DATAGRAM, other, total=2, since=1000))
    assert [i.count for i in found] == [1, 1]


def test_the_same_socket_refusing_for_another_peer_is_another_incident() -> None:
    peers = [sock("10.0.0.1:53", f"10.0.0.{n}:4000", inode=4) for n in (7, 8)]
    found = incidents(
        miss(1000, DATAGRAM, peers[0]), miss(2000, DATAGRAM, peers[1], total=2, since=1000)
    )
    assert [i.mismatch[0].socket for i in found] == ["10.0.0.7", "10.0.0.8"]


def test_keys_are_apart() -> None:
    misses = [
        miss(1000, DATAGRAM),
        miss(1000, DATAGRAM, netns=BOX),
        miss(1000, gram("10.0.0.9:4001", "10.0.0.1:53")),
        miss(1000, gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=3)),
        miss(1000, DATAGRAM, code=13, proven=False),
        replace(miss(1000, DATAGRAM, netns=OTHER), netns_cookie=77),
        miss(1000, DATAGRAM, netns=OTHER),
    ]
    found = incidents(*misses)
    assert [i.count for i in found] == [1] * 7
    assert len({i.id for i in found}) == 7


def test_a_new_epoch_counts_from_its_own_start() -> None:
    incident = only(
        miss(1000, DATAGRAM, WRONG),
        count(2000, DATAGRAM, 5, since=1000),
        miss(60_000, DATAGRAM, WRONG),
        count(61_000, DATAGRAM, 3, since=60_000),
    )
    assert incident.count == 8


def test_a_reading_of_the_epoch_before_may_come_late() -> None:
    incident = only(
        miss(1000, DATAGRAM, WRONG),
        miss(60_000, DATAGRAM, WRONG),
        count(61_000, DATAGRAM, 6, since=1000, last=1500),
    )
    assert incident.count == 7


def test_a_count_without_its_miss_is_judged_by_the_table() -> None:
    incident = only(seen(1, WRONG), count(1000, DATAGRAM, 4, since=900, last=990))
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.count == 4
    assert incident.mono_ns == at(900)
    assert not incident.certain
    assert "known from the kernel's counter of it only" in incident.caveats


def test_a_count_of_something_else_than_port_unreachable_is_rejected() -> None:
    assert only(count(1000, DATAGRAM, 4, since=900, code=13)).cause is Cause.REJECTED


def test_a_count_read_before_its_miss_gets_its_evidence() -> None:
    incident = only(
        count(1001, DATAGRAM, 1, since=1000, last=1000),
        miss(1000, DATAGRAM, WRONG),
    )
    assert (incident.cause, incident.count) == (Cause.LOCAL_ADDRESS, 1)
    assert incident.certain
    assert incident.caveats == ()


def test_evidence_that_comes_after_the_count_was_told_is_an_update() -> None:
    trace: list[Event] = [
        header(),
        count(1001, DATAGRAM, 1, since=1000, last=1000),
        tick(2000),
        miss(1000, DATAGRAM, WRONG),
        end(9000),
    ]
    first, second = updates(trace)
    assert (first.incident.cause, first.incident.certain) == (Cause.NO_SOCKET, False)
    assert (second.incident.cause, second.incident.certain) == (Cause.LOCAL_ADDRESS, True)
    assert first.incident.id == second.incident.id
    assert second.incident.count == 1
    assert (first.incident.lookup.visited, second.incident.lookup.visited) == (None, 1)
    assert (first.incident.lookup.caller, second.incident.lookup.caller) == (
        None,
        "__udp4_lib_rcv",
    )


def test_better_evidence_of_the_same_verdict_lifts_the_doubt() -> None:
    incident = only(
        seen(1, WRONG),
        miss(1000, DATAGRAM, no_walk=True),
        miss(2000, DATAGRAM, WRONG, total=2, since=1000),
    )
    assert (incident.count, incident.certain, incident.caveats) == (2, True, ())
    assert incident.lookup.visited == 1
    assert incident.mono_ns == at(1000)


def test_a_miss_counted_before_its_differing_evidence_moves() -> None:
    first, second = incidents(
        miss(1000, DATAGRAM, WRONG),
        count(2001, DATAGRAM, 3, since=1000, last=2000),
        miss(2000, DATAGRAM, total=3, since=1000),
    )
    assert (first.count, second.count) == (2, 1)


def test_repeats_before_the_first_streamed_miss_are_said_to_be_unseen() -> None:
    incident = only(miss(1000, DATAGRAM, WRONG, total=4, since=500))
    assert incident.count == 4
    assert incident.caveats == ("3 earlier ones were counted without their evidence",)


# When updates are told


def test_updates_come_at_doubling_distances_up_to_ten_seconds() -> None:
    linker = Linker()
    told = []
    linker.feed(header())
    linker.feed(miss(1000, DATAGRAM, WRONG))
    for step in range(1, 600):
        ms = 1000 + step * 100
        for update in linker.feed(count(ms, DATAGRAM, 1 + step, since=1000)):
            told.append((ms, update.incident.seq))
    assert told == [
        (1200, 1),
        (2200, 2),
        (4200, 3),
        (8200, 4),
        (16200, 5),
        (26200, 6),
        (36200, 7),
        (46200, 8),
        (56200, 9),
    ]


def test_no_update_without_news() -> None:
    trace: list[Event] = [
        header(),
        miss(1000, DATAGRAM, WRONG),
        *(tick(ms) for ms in (2000, 9000)),
        end(9999),
    ]
    assert len(updates(trace)) == 1


def test_a_pause_does_not_delay_the_next_update() -> None:
    trace: list[Event] = [header(), miss(1000, DATAGRAM, WRONG), tick(1300), tick(60_000)]
    linker = Linker()
    updates(trace, linker)
    linker.feed(count(60_100, DATAGRAM, 2, since=1000))
    assert linker.feed(tick(60_299)) == []
    assert [u.incident.count for u in linker.feed(tick(60_300))] == [2]


def test_the_end_tells_everything() -> None:
    trace: list[Event] = [header(), miss(1000, DATAGRAM, WRONG), tick(1500)]
    linker = Linker()
    updates(trace, linker)
    linker.feed(count(1600, DATAGRAM, 2, since=1000))
    linker.feed(miss(1601, gram("10.0.0.9:1", "10.0.0.1:53")))
    told = linker.feed(end(1602))
    assert sorted((u.incident.seq, u.incident.count) for u in told) == [(1, 1), (2, 2)]


def test_an_update_repeats_the_object() -> None:
    trace: list[Event] = [
        header(),
        bind(1, WRONG),
        miss(1000, DATAGRAM, WRONG),
        tick(1300),
        close(1400, WRONG),
        count(1500, DATAGRAM, 2, since=1000),
        end(9000),
    ]
    first, second = updates(trace)
    assert second.previous == first.incident
    assert second.incident.seq == 2
    assert second.incident.time == first.incident.time
    assert second.incident.cause is first.incident.cause
    assert second.incident.socket is not None
    assert second.incident.socket.closed is not None


def test_update_times_do_not_move_with_the_wall_clock() -> None:
    stepped = Clock(at(1400), 5, 6)
    trace: list[Event] = [
        header(),
        miss(1000, DATAGRAM, WRONG),
        tick(1300),
        stepped,
        count(1500, DATAGRAM, 2, since=1000),
        end(9000),
    ]
    first, second = updates(trace)
    assert second.incident.time == first.incident.time


# Totals


def test_stats_are_of_what_was_told() -> None:
    linker = Linker()
    trace: list[Event] = [
        header(),
        seen(1, WRONG),
        miss(1000, DATAGRAM, WRONG),
        count(2000, DATAGRAM, 5, since=1000),
        miss(3000, gram("10.0.0.9:1", "10.0.0.1:53")),
        end(31_000),
    ]
    updates(trace, linker)
    stats = linker.stats
    assert (stats.misses, stats.incidents, stats.sockets) == (6, 2, 1)
    assert stats.duration == 31_000 * MS
    assert stats.losses == {}
    assert stats.forgotten == {}
