"""Losses, targets and bounded memory."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    COOKIES,
    HOST,
    OTHER,
    close,
    connect,
    count,
    counters,
    end,
    error,
    gram,
    header,
    loss,
    miss,
    owners,
    seen,
    sock,
    tick,
)
from tests.unit.linking import incidents, only, updates
from tracer.causes import Cause
from tracer.events import Event
from tracer.link import Linker
from tracer.totals import Limits

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
WRONG = sock("127.0.0.1:53", inode=3)


# Losses


def test_a_loss_near_the_miss_makes_it_doubtful() -> None:
    for ms in (9_050, 10_000, 10_100, 10_950):
        events: list[Event] = sorted(
            [miss(10_000, DATAGRAM, WRONG), loss(ms)], key=lambda e: e.time
        )
        incident = only(*events)
        assert not incident.certain, ms
        assert incident.caveats == ("3 close records lost around that time",)
        assert incident.count == 1


def test_a_loss_long_before_or_after_does_not_touch_it() -> None:
    for ms in (8_900, 11_100):
        events: list[Event] = sorted(
            [miss(10_000, DATAGRAM, WRONG), loss(ms)], key=lambda e: e.time
        )
        assert only(*events).certain, ms


def test_a_loss_after_the_incident_was_told_is_an_update() -> None:
    first, second = updates(
        [header(), miss(10_000, DATAGRAM, WRONG), tick(10_300), loss(10_500), end(20_000)]
    )
    assert (first.incident.certain, second.incident.certain) == (True, False)
    assert second.incident.count == 1


def test_a_loss_near_a_repeat_touches_the_incident_it_joined() -> None:
    trace: list[Event] = [
        header(),
        miss(10_000, DATAGRAM, WRONG),
        miss(20_000, DATAGRAM, WRONG, total=2, since=10_000),
        tick(20_300),
        loss(20_500),
        end(30_000),
    ]
    found = updates(trace)
    assert {u.incident.id for u in found} == {found[0].incident.id}
    assert not found[-1].incident.certain


def test_losses_of_one_kind_are_added_up_and_totalled() -> None:
    linker = Linker()
    events: list[Event] = [
        miss(10_000, DATAGRAM, WRONG),
        loss(10_050),
        loss(10_060, lost=4),
        loss(10_070, "key"),
    ]
    (incident,) = incidents(*events, linker=linker)
    assert incident.caveats == (
        "7 close records lost around that time",
        "3 misses that could not be aggregated (table of misses full) lost around that time",
    )
    assert linker.stats.losses == {"close": 7, "key": 3}


def test_an_unknown_loss_is_named_as_it_came() -> None:
    assert only(miss(10_000, DATAGRAM), loss(10_001, "frobs")).caveats == (
        "3 frobs lost around that time",
    )


# Targets


def selected(targets: set[int], *events: Event) -> int:
    return len(incidents(*events, linker=Linker(frozenset(targets))))


def test_targets_select_by_receiver_origin_and_told() -> None:
    sender = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11, netns=BOX)
    events: list[Event] = [seen(1, sender), miss(10_000, DATAGRAM, netns=HOST)]
    assert selected({HOST}, *events) == 1
    assert selected({BOX}, *events) == 1
    assert selected({OTHER}, *events) == 0
    assert selected({OTHER, HOST}, *events) == 1
    told = error(10_000.1, sock("10.0.0.9:4000", "10.0.0.1:53", inode=12, netns=OTHER))
    assert selected({OTHER}, *events, told) == 1


def test_a_target_is_the_namespace_that_had_the_number_first() -> None:
    another = replace(miss(20_000, DATAGRAM, netns=BOX), netns_cookie=8)
    told = incidents(
        counters(1, netns=BOX, UdpNoPorts=0),
        miss(10_000, DATAGRAM, netns=BOX),
        counters(15_000, netns=BOX),  # it is gone
        counters(15_001, netns=BOX, cookie=8, UdpNoPorts=0),
        another,
        linker=Linker(frozenset({BOX})),
    )
    assert [incident.netns.cookie for incident in told] == [COOKIES[BOX]]
    assert selected({BOX}, another) == 1  # nothing tells what was asked for


def test_what_targets_leave_out_is_not_in_the_totals() -> None:
    linker = Linker(frozenset({OTHER}))
    incidents(miss(10_000, DATAGRAM), linker=linker)
    assert (linker.stats.misses, linker.stats.incidents) == (0, 0)


def test_an_incident_that_comes_to_concern_a_target_is_told_then() -> None:
    linker = Linker(frozenset({BOX}))
    late = sock("10.0.0.9:4000", "10.0.0.1:53", inode=12, netns=BOX)
    trace: list[Event] = [
        header(),
        miss(10_000, DATAGRAM),
        tick(10_500),
        count(20_000, DATAGRAM, 5, since=10_000),
        error(20_000.1, late),
        end(30_000),
    ]
    (update,) = updates(trace, linker)
    assert (update.incident.seq, update.incident.count) == (1, 5)
    assert linker.stats.misses == 5


# Bounded memory


def scan(ports: int) -> list[Event]:
    return [miss(1000 + n, gram("10.0.0.9:4000", f"10.0.0.1:{n + 1}")) for n in range(ports)]


def test_forgetting_incidents_loses_no_count() -> None:
    linker = Linker(limits=Limits(incidents=8))
    events: list[Event] = [
        *scan(32),
        tick(2000),
        count(3000, gram("10.0.0.9:4000", "10.0.0.1:1"), 4, since=1000),
    ]
    found = incidents(*events, linker=linker)
    assert sum(i.count for i in found) == 32 + 3
    assert linker.stats.forgotten["incidents"] == 25
    assert linker.stats.misses == 35


def test_forgetting_counts_is_said_where_it_may_matter() -> None:
    linker = Linker(limits=Limits(incidents=8, keys=8))
    first = gram("10.0.0.9:4000", "10.0.0.1:1")
    events: list[Event] = [*scan(32), tick(2000), miss(3000, first, total=4, since=1000)]
    found = incidents(*events, linker=linker)
    doubt = "its count may hold misses told before: too many to remember"
    assert doubt in found[-1].caveats
    assert all(doubt not in i.caveats for i in found[:-1])
    assert linker.stats.forgotten["counts of misses"] == 25


def test_too_many_settling_at_once_are_judged_early() -> None:
    linker = Linker(limits=Limits(settling=4))
    told = updates([header(), *scan(10)], linker)
    assert len(told) == 6
    assert linker.stats.forgotten == {"settling times": 6}


def test_sockets_are_forgotten_oldest_first() -> None:
    linker = Linker(limits=Limits(sockets=4, closed=2))
    sockets = [sock(f"10.0.0.9:{4000 + n}", "10.0.0.1:53", inode=50 + n) for n in range(6)]
    last = gram("10.0.0.9:4005", "10.0.0.1:53")
    found = incidents(
        *(seen(1 + n, s) for n, s in enumerate(sockets)),
        miss(10_000, DATAGRAM),
        miss(10_000, last),
        linker=linker,
    )
    assert [i.origin.inode if i.origin else None for i in found] == [None, 55]
    assert linker.stats.forgotten == {"sockets": 2}
    assert linker.stats.sockets == 4


def test_closed_sockets_leave_with_the_window_and_are_not_called_forgotten() -> None:
    linker = Linker(limits=Limits(closed=2))
    closes = [close(n * 61_000, sock("0.0.0.0:53", inode=50 + n)) for n in range(5)]
    incidents(*closes, linker=linker)
    assert linker.stats.forgotten == {}


def test_errors_that_wait_are_bounded() -> None:
    linker = Linker(limits=Limits(errors=4))
    errors = [error(n, sock(f"10.0.0.9:{4000 + n}", "10.0.0.1:53", inode=n + 1)) for n in range(9)]
    assert incidents(*errors, linker=linker) == []
    assert linker.stats.forgotten == {"errors told": 5}


def test_a_trace_without_a_header_has_no_utc() -> None:
    linker = Linker()
    linker.feed(miss(10_000, DATAGRAM))
    (update,) = linker.flush()
    assert update.incident.time is None
    assert update.incident.host is None
    assert update.incident.cause is Cause.NO_SOCKET
    assert update.incident.to_json()["time"] is None


def test_what_is_forgotten_is_told_first() -> None:
    linker = Linker(limits=Limits(incidents=2))
    first = gram("10.0.0.9:4000", "10.0.0.1:1")
    updates([header(), *scan(2), tick(1300), count(1400, first, 9, since=1000)], linker)
    third = miss(1500, gram("10.0.0.9:4000", "10.0.0.1:99"))
    fourth = miss(1500, gram("10.0.0.9:4000", "10.0.0.1:98"))
    told = updates([third, fourth], linker)
    assert [(u.incident.datagram.dport, u.incident.count) for u in told] == [(1, 9)]


def test_an_update_keeps_what_was_told_of_a_socket_forgotten_since() -> None:
    linker = Linker(limits=Limits(sockets=1))
    tied = sock("10.0.0.1:53", "10.0.0.8:4000", inode=3)
    trace: list[Event] = [
        header(),
        connect(1, sock("0.0.0.0:53", inode=3), tied),
        owners(2, 3, (77, "named", 12)),
        miss(1000, DATAGRAM, tied),
        tick(1300),
        seen(1400, sock("0.0.0.0:99", inode=4)),
        owners(1401, 4, (78, "other", 12)),
        count(1500, DATAGRAM, 2, since=1000),
        end(9000),
    ]
    first, second = updates(trace, linker)
    assert first.incident.socket is not None
    assert first.incident.socket.connect is not None
    assert [p.pid for p in first.incident.socket.processes] == [77]
    assert second.incident.socket == first.incident.socket


def test_the_sockets_of_a_walk_are_let_go_when_it_is_judged() -> None:
    linker = Linker()
    linker.feed(miss(1000, DATAGRAM, WRONG, sock("127.0.0.2:53", inode=4)))
    (update,) = linker.feed(tick(1300))
    assert (update.incident.lookup.matching, update.incident.candidates) == (2, 1)
    (episode,) = linker._recent
    assert episode.miss.walk is not None
    assert episode.miss.walk.candidates == ()
