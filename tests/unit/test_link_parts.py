"""The linker's small parts: times, names of errors, bounded maps, namespaces."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import HOST, at, error, gram, miss, namespace, sock
from tracer.addresses import endpoint, is_any, is_loopback, unmapped
from tracer.counts import MissCounts, flow_of, key_of
from tracer.episodes import Episodes
from tracer.errnos import errno_name
from tracer.icmp import icmp_name
from tracer.lru import Lru
from tracer.namespaces import Namespaces
from tracer.timefmt import Anchor, clock_text, date_text, duration_text, utc_text
from tracer.told import ErrorsTold


def test_utc_text() -> None:
    assert utc_text(0) == "1970-01-01T00:00:00.000000000Z"
    assert utc_text(1_795_349_024_128_123_456) == "2026-11-22T12:03:44.128123456Z"
    assert utc_text(-1) == "1969-12-31T23:59:59.999999999Z"
    assert utc_text(10**30) == f"@{10**21}.000000000"
    assert (date_text(10**30), clock_text(10**30)) == (utc_text(10**30), utc_text(10**30))


def test_clock_text_does_not_round_up() -> None:
    assert clock_text(999_999_999) == "00:00:00.999"


def test_duration_text() -> None:
    spans = {
        340_000: "340 us",
        1_500_000: "1.5 ms",
        340_000_000: "340 ms",
        3_200_000_000: "3.2 s",
        59_960_000_000: "60.0 s",
        120 * 10**9: "120 s",
        -5000: "-5 us",
    }
    for ns, text in spans.items():
        assert duration_text(ns) == text


def test_an_anchor_turns_both_clocks_into_utc() -> None:
    anchor = Anchor(monotonic=100, realtime=10_000, boottime=150)
    assert anchor.utc(110) == 10_010
    assert anchor.utc_of_boottime(110) == 9_960


def test_errno_names_are_linuxs_everywhere() -> None:
    assert errno_name(111) == "ECONNREFUSED"
    assert errno_name(4095) == "errno 4095"


def test_icmp_names() -> None:
    assert icmp_name("ipv4", 3, 3) == "port-unreachable"
    assert icmp_name("ipv4", 3, 10) == "host-prohibited"
    assert icmp_name("ipv6", 1, 4) == "port-unreachable"
    assert icmp_name("ipv4", 11, 0) is None
    assert icmp_name("ipv4", 3, 99) is None
    assert icmp_name("ipv4", 3, -1) is None


def test_addresses() -> None:
    assert [is_any(a) for a in ("0.0.0.0", "::", "::ffff:0.0.0.0", "::1")] == [True] * 3 + [False]
    assert [is_loopback(a) for a in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [
        True
    ] * 4
    assert not is_loopback("12.7.0.1")
    assert unmapped("::ffff:1.2.3.4") == "1.2.3.4"
    assert unmapped("::ffff:1:2") == "::ffff:1:2"
    assert endpoint("1.2.3.4", 5) == "1.2.3.4:5"
    assert endpoint("::1", 5) == "[::1]:5"


def test_lru() -> None:
    entries: Lru[str, int] = Lru(2)
    assert entries.put("a", 1) == []
    entries.put("b", 2)
    assert entries.touch("a") == 1
    assert entries.put("c", 3) == [2]
    assert list(entries) == [1, 3]
    assert entries.get("b") is None
    assert entries.touch("b") is None
    assert entries.pop("a") == 1
    assert entries.pop("a") is None
    assert (entries.forgotten, len(entries), entries.oldest()) == (1, 1, 3)


def test_a_reused_namespace_number_has_no_name() -> None:
    namespaces = Namespaces(8)
    namespaces.learn(namespace(1, HOST, "host", "10.0.0.1"))
    assert namespaces.name(HOST, 1) == "host"
    assert namespaces.name(HOST, 0) == "host"
    assert namespaces.name(HOST, 99) is None
    assert namespaces.name(4, 1) is None


def test_namespaces_are_bounded_and_the_latest_counts() -> None:
    namespaces = Namespaces(2)
    for inum in (1, 2, 3):
        namespaces.learn(replace(namespace(1, HOST, "x", "10.0.0.1"), inum=inum))
    namespaces.learn(replace(namespace(2, HOST, "y", "10.0.0.2", links=((4, "e4"),)), inum=3))
    assert namespaces.forgotten == 1
    assert namespaces.name(1, 0) is None
    assert not namespaces.holds(1, "10.0.0.1")
    assert not namespaces.holds(3, "10.0.0.1")
    assert namespaces.holds(3, "::ffff:10.0.0.2")
    assert namespaces.holds(1, "127.0.0.1")
    assert namespaces.links(3) == {4: "e4"}


def test_counts_of_the_epochs_before_are_remembered_for_a_while() -> None:
    counts, first = MissCounts(8), miss(1, gram("10.0.0.9:1", "10.0.0.1:2"))
    key = key_of(first)

    def credit(since: int, total: int) -> int:
        return counts.credit(key, replace(first, since=since, total=total))

    assert [credit(since, 5) for since in (1, 2, 3, 4)] == [5, 5, 5, 5]
    assert credit(1, 7) == 2
    assert credit(5, 1) == 1


def test_counts_that_the_kernel_dropped_are_dropped_and_no_others() -> None:
    counts = MissCounts(8)
    early, late = (miss(ms, gram("10.0.0.9:1", f"10.0.0.1:{ms}"), total=3) for ms in (1, 2))
    for event in (early, late):
        counts.credit(key_of(event), event)
    counts.expire(at(2))
    assert counts.credited(key_of(early), early.since) == 0
    assert counts.credited(key_of(late), late.since) == 3
    assert counts.forgotten == 0
    assert not counts.may_repeat(early.since)


DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
SENDER = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11)


def test_waiting_errors_of_a_flow_are_bounded_and_the_latest_stay() -> None:
    namespaces = Namespaces(8)
    errors = ErrorsTold(Episodes(8, lambda state: None), namespaces, 200, 8)
    for n in range(9):
        assert errors.place(error(n, SENDER)) is None
    flow = flow_of(key_of(miss(1, DATAGRAM)))
    assert [e.time for e in errors.waiting(flow)] == [at(n) for n in (5, 6, 7, 8)]
    assert errors.waiting(flow) == []


def test_forgotten_keys_leave_nothing_behind() -> None:
    retired = []
    episodes = Episodes(2, lambda state: retired.append(state.key.dport))
    for port in range(1, 6):
        episodes.state(key_of(miss(1, gram("10.0.0.9:1", f"10.0.0.1:{port}"))))
    assert retired == [1, 2, 3]
    assert len(episodes._flows) == 2


def test_what_is_known_of_a_namespace_is_not_of_another_with_its_number() -> None:
    namespaces = Namespaces(2)
    namespaces.learn(namespace(1, HOST, "x", "10.0.0.1"))
    assert namespaces.name(HOST, 1) == "x"
    assert namespaces.links(HOST, 1)[2] == "eth0"
    assert namespaces.holds(HOST, "10.0.0.1", 1)
    assert namespaces.name(HOST, 2) is None
    assert namespaces.links(HOST, 2) == {}
    assert not namespaces.holds(HOST, "10.0.0.1", 2)
    assert namespaces.holds(HOST, "127.0.0.1", 2)
