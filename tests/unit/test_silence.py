"""Silent deaths from cumulative counters, and the misses that belong between two readings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.build import BOX, HOST, count, counters, end, gram, header, miss, namespace
from tracer.events import Event
from tracer.link import Linker
from tracer.silence import NetnsSilence
from tracer.totals import Limits

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
DATAGRAM6 = gram("[fd00::9]:4000", "[fd00::1]:53")


def parts(*events: Event, linker: Linker | None = None) -> tuple[NetnsSilence, ...]:
    linker = linker or Linker()
    for event in (header(), *events, end(600_000)):
        linker.feed(event)
    return linker.stats.silence


def no_ports(*events: Event, linker: Linker | None = None) -> tuple[int | None, int, int, int]:
    """(kernel, traced, unseen, surplus) of the only namespace."""
    (part,) = parts(*events, linker=linker)
    return part.kernel, part.traced, part.unseen, part.surplus


def test_reasons_are_counted_once() -> None:
    """InErrors holds those that have a counter of their own, IgnoredMulti it does not."""
    (part,) = parts(
        counters(1, UdpInErrors=100, UdpRcvbufErrors=50, UdpInCsumErrors=9, UdpMemErrors=0,
                 UdpIgnoredMulti=3, Udp6InErrors=7, Udp6InCsumErrors=7),
        counters(2, UdpInErrors=110, UdpRcvbufErrors=54, UdpInCsumErrors=10, UdpMemErrors=2,
                 UdpIgnoredMulti=5, Udp6InErrors=9, Udp6InCsumErrors=9),
    )  # fmt: skip
    assert part.silent == {
        "receive-buffer": 4,
        "checksum": 3,
        "memory": 2,
        "multicast": 2,
        "other": 3,
    }
    assert part.deaths == 14


def test_what_a_kernel_does_not_count_is_not_known() -> None:
    """5.10 counts a lack of memory with the errors, and nowhere else."""
    (part,) = parts(
        counters(1, UdpInErrors=0, UdpRcvbufErrors=0), counters(2, UdpInErrors=3, UdpRcvbufErrors=1)
    )
    assert part.silent["memory"] is None
    assert part.silent["checksum"] is None
    assert part.silent["other"] == 2


def test_one_reading_says_nothing() -> None:
    assert parts(counters(1, UdpInErrors=50, UdpNoPorts=50)) == ()
    (part,) = parts(counters(1, UdpInErrors=50, UdpNoPorts=50), miss(2, DATAGRAM))
    assert (part.kernel, part.traced, part.unseen) == (None, 1, 0)
    assert set(part.silent.values()) == {None}


def test_nothing_new_is_nothing_to_say() -> None:
    assert parts(counters(1, UdpInErrors=5), counters(2, UdpInErrors=5)) == ()


def test_misses_between_the_readings_are_the_kernels() -> None:
    """Repeats with their exact count, both families; not those before, nor those after."""
    assert no_ports(
        miss(1, gram("10.0.0.9:1", "10.0.0.1:53")),
        counters(2, UdpNoPorts=10, Udp6NoPorts=4, took=1),
        miss(5, DATAGRAM),
        count(900, DATAGRAM, 40, since=5, last=890),
        miss(901, DATAGRAM6, code=4),
        counters(1000, UdpNoPorts=50, Udp6NoPorts=5, took=1),
        miss(1002, gram("10.0.0.9:2", "10.0.0.1:53")),
    ) == (41, 41, 0, 0)


def test_a_difference_of_one_family_is_not_made_up_by_the_other() -> None:
    assert no_ports(
        counters(2, UdpNoPorts=0, Udp6NoPorts=0),
        miss(5, DATAGRAM),
        counters(1000, UdpNoPorts=0, Udp6NoPorts=1),
    ) == (1, 1, 1, 1)


def test_rejects_are_no_misses_even_when_counted() -> None:
    assert no_ports(
        counters(2, UdpNoPorts=0),
        miss(5, DATAGRAM),
        miss(6, gram("10.0.0.9:7", "10.0.0.1:54"), proven=False),
        count(900, gram("10.0.0.9:7", "10.0.0.1:54"), 40, since=6, last=890, proven=False),
        counters(1000, UdpNoPorts=1),
    ) == (1, 1, 0, 0)


def test_icmps_that_came_in_are_no_misses() -> None:
    came = replace(count(900, DATAGRAM, 40, since=6, last=890, sent=0), received=True)
    assert parts(counters(2, UdpNoPorts=0), came, counters(1000, UdpNoPorts=0)) == ()


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("late", [False, True])
def test_misses_during_a_reading_may_be_on_either_side(kernel: int, late: bool) -> None:
    """Two for certain; one while the first was made, one while the last was."""
    first, last = (
        counters(100, UdpNoPorts=10, took=5),
        counters(900, UdpNoPorts=10 + kernel, took=5),
    )
    at_first = count(104, DATAGRAM, 2, since=50, last=103)
    at_last = count(904, DATAGRAM, 5, since=50, last=903)
    if late:  # as events of their own, at their exact time
        at_first, at_last = (
            count(104, DATAGRAM, 1, since=50, last=50),
            count(903, DATAGRAM, 3, since=50, last=800),
        )
        more: list[Event] = [
            miss(102, gram("10.0.0.9:1", "10.0.0.1:53")),
            miss(902, gram("10.0.0.9:2", "10.0.0.1:53")),
        ]
    else:
        more = []
    events = [
        miss(50, DATAGRAM),
        first,
        at_first,
        *more[:1],
        count(800, DATAGRAM, 3 if late else 4, since=50, last=790),
        last,
        at_last,
        *more[1:],
    ]
    assert no_ports(*events) == (kernel, kernel, 0, 0)


def test_more_or_fewer_than_the_readings_leave_room_for_is_a_difference() -> None:
    def between(kernel: int) -> tuple[int | None, int, int, int]:
        return no_ports(
            counters(100, UdpNoPorts=10, took=5),
            miss(102, DATAGRAM),
            miss(200, gram("10.0.0.9:1", "10.0.0.1:53")),
            counters(900, UdpNoPorts=10 + kernel, took=5),
        )

    assert between(5) == (5, 2, 3, 0)
    assert between(0) == (0, 1, 0, 1)


def test_a_miss_told_late_counts_by_its_time() -> None:
    """Its record came out of the buffer after the reading."""
    assert no_ports(
        counters(100, UdpNoPorts=10, took=1),
        counters(900, UdpNoPorts=11, took=1),
        miss(899, DATAGRAM),
    ) == (1, 1, 0, 0)
    assert parts(miss(1, DATAGRAM), counters(100, UdpNoPorts=1, took=1), miss(99, DATAGRAM6)) == ()


def test_middle_readings_change_nothing() -> None:
    assert no_ports(
        counters(100, UdpNoPorts=10, took=5),
        miss(200, gram("10.0.0.9:1", "10.0.0.1:53")),
        counters(300, UdpNoPorts=12, took=5),
        miss(301, gram("10.0.0.9:2", "10.0.0.1:53")),
        miss(400, gram("10.0.0.9:3", "10.0.0.1:53")),
        counters(900, UdpNoPorts=13, took=5),
    ) == (3, 3, 0, 0)


def test_namespaces_are_kept_apart() -> None:
    found = parts(
        namespace(1, BOX, "box"),
        counters(2, HOST, UdpNoPorts=0),
        counters(2, BOX, UdpNoPorts=0),
        miss(5, DATAGRAM, netns=BOX),
        counters(1000, HOST, UdpNoPorts=1),
        counters(1000, BOX, UdpNoPorts=1),
    )
    assert [(p.netns.name, p.kernel, p.traced) for p in found] == [(None, 1, 0), ("box", 1, 1)]


def test_only_the_targets_are_told_but_all_their_misses_count() -> None:
    (part,) = parts(
        counters(2, HOST, UdpNoPorts=0),
        counters(2, BOX, UdpNoPorts=0),
        miss(5, DATAGRAM, netns=BOX),
        counters(1000, HOST, UdpNoPorts=1),
        counters(1000, BOX, UdpNoPorts=1),
        linker=Linker(frozenset([BOX])),
    )
    assert (part.netns.inum, part.traced) == (BOX, 1)


def test_gone_namespaces_keep_what_was_known() -> None:
    (part,) = parts(
        counters(2, UdpNoPorts=0, UdpInErrors=0),
        counters(50, UdpNoPorts=0, UdpInErrors=3),
        miss(60, DATAGRAM),
        counters(99, final=True),
    )
    assert (part.gone, part.final) == (True, False)
    assert part.deaths == 3
    assert (part.kernel, part.traced, part.unseen) == (0, 0, 0)


def test_counters_that_went_down_are_another_namespaces() -> None:
    """Where no cookie tells it: each has its own part."""
    old, new = parts(
        counters(2, cookie=0, UdpInErrors=5, UdpNoPorts=5),
        counters(50, cookie=0, UdpInErrors=8, UdpNoPorts=5),
        counters(60, cookie=0, UdpInErrors=1, UdpNoPorts=0),
        miss(70, DATAGRAM),
        counters(90, cookie=0, UdpInErrors=3, UdpNoPorts=1, final=True),
    )
    assert (old.deaths, old.gone, old.anew, old.final) == (3, True, False, False)
    assert (new.deaths, new.gone, new.anew, new.final) == (2, False, True, True)
    assert (new.kernel, new.traced) == (1, 1)


def test_a_number_used_again_after_its_end() -> None:
    old, new = parts(
        counters(2, UdpInErrors=5),
        counters(50, UdpInErrors=8),
        counters(60),
        counters(70, UdpInErrors=8),
        counters(90, UdpInErrors=9, final=True),
    )
    assert (old.deaths, old.gone) == (3, True)
    assert (new.deaths, new.gone, new.anew) == (1, False, False)


def test_a_trace_that_forgot_counts_says_so() -> None:
    events = [miss(n, gram(f"10.0.0.9:{n}", "10.0.0.1:53")) for n in range(3, 9)]
    (part,) = parts(
        counters(2, UdpNoPorts=0),
        *events,
        counters(99, UdpNoPorts=6),
        linker=Linker(limits=Limits(keys=2)),
    )
    assert part.doubtful
    assert part.traced == 6


def test_memory_is_bounded() -> None:
    linker = Linker(limits=Limits(namespaces=2))
    found = parts(
        *(counters(n, cookie=n, UdpInErrors=0) for n in range(1, 9)),
        *(counters(n, cookie=n, UdpInErrors=1) for n in range(1, 9)),
        linker=linker,
    )
    assert len(found) <= 4
    assert linker.stats.forgotten["counters of network namespaces"] == 14
