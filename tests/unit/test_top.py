"""`top` without a terminal: what is counted when, how rows are made, and how they are laid out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from tests.unit.build import (
    BOX,
    HOST,
    at,
    count,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    owners,
    seen,
    sock,
    tick,
)
from tests.unit.fakes import FakeMachine, FakeSession, S
from tracer.events import Event, Loss, SocketView
from tracer.link import Linker
from tracer.render.escape import cut, width
from tracer.render.top import KEYS, jsonl, plain
from tracer.select import selection_of
from tracer.sockets.detail import Detail
from tracer.targets import TargetSet
from tracer.top.consume import Top
from tracer.top.display import Display
from tracer.top.drops import Drops, Reading
from tracer.top.meter import Meter
from tracer.top.model import NOT_KNOWN, By, DropId, Figure, Row, Snapshot, SocketId, Sort
from tracer.top.rows import rows
from tracer.top.session import CountedSession
from tracer.totals import Limits

STORM = gram("10.0.0.2:4000", "10.0.0.1:53")
FEW = gram("10.0.0.2:4001", "10.0.0.1:54")
SERVER = sock("10.0.0.1:53", "10.0.0.9:53", inode=7)
SENDER = sock("10.0.0.2:4000", "10.0.0.1:53", inode=8, netns=BOX)
ASIDE = sock("0.0.0.0:99", inode=9)


def nothing(inums: Iterable[int]) -> Reading:
    """No drops are read."""
    return Reading()


class Reader:
    """Reads what it is told to, turn by turn; what it was asked for."""

    def __init__(self, *readings: Reading) -> None:
        self._left = list(readings)
        self.asked: list[list[int]] = []

    def __call__(self, inums: Iterable[int]) -> Reading:
        self.asked.append(sorted(inums))
        return self._left.pop(0) if self._left else Reading()


def details(drops: dict[SocketView, int | None], netns: int = HOST) -> Reading:
    return Reading({netns: [Detail(view, 0, 0, dropped) for view, dropped in drops.items()]})


def snapshots(
    events: Iterable[Event],
    reader: Reader | None = None,
    limits: Limits | None = None,
    *,
    linker: Linker | None = None,
    every_socket: bool = True,
) -> list[Snapshot]:
    shown: list[Snapshot] = []
    top = Top(
        linker or Linker(limits=limits),
        shown.append,
        reader or nothing,
        interval_ns=2 * S,
        limits=limits,
        every_socket=every_socket,
    )
    for event in events:
        top.feed(event)
    return shown


def begin() -> list[Event]:
    return [
        header(),
        namespace(0.1, HOST, "host", "10.0.0.1"),
        namespace(0.1, BOX, "box", "10.0.0.2"),
        seen(0.2, SERVER),
        seen(0.2, SENDER),
        owners(0.2, 7, (70, "named", 3)),
        owners(0.2, 8, (80, "dig", 4)),
    ]


def storm() -> list[Event]:
    """100 misses told of in the first interval and 40 in the second, and 3 beside them."""
    return [
        *begin(),
        miss(10, STORM, SERVER),
        error(11, SENDER),
        miss(20, FEW),
        count(1900, STORM, 100, since=10),
        count(1900, FEW, 3, since=20),
        error(1950, SENDER),
        tick(2000),
        count(3900, STORM, 140, since=10),
        tick(4000),
    ]


def last_interval() -> Snapshot:
    """The storm's second interval, in which its socket dropped 4."""
    return snapshots(storm(), Reader(details({SERVER: 5}), details({SERVER: 9})))[-1]


def table(snapshot: Snapshot, by: By = "flow", sort: Sort = "misses") -> list[Row]:
    return rows(snapshot, by, sort)


def flows(made: Sequence[Row]) -> list[str | None]:
    return [row.worst.flow for row in made]


# What is counted


def test_rates_come_from_the_kernels_counters() -> None:
    first, second = snapshots(storm())
    worst, few = table(first)
    assert worst.worst.flow == "10.0.0.2:4000 > 10.0.0.1:53"
    assert worst.misses == Figure(100, 100)
    assert worst.misses.rate(first.span_ns) == 50.0
    assert worst.errors == Figure(2, 2)
    assert few.misses == Figure(3, 3)
    worst, few = table(second)
    assert worst.misses == Figure(40, 140)
    assert worst.errors == Figure(0, 2)
    assert few.misses == Figure(0, 3)


def test_the_end_tells_what_was_still_counted() -> None:
    last = snapshots([*storm(), count(4100, FEW, 13, since=20), end(4200)])[-1]
    assert last.final
    # Its rates are those of a short time, which it says.
    assert "4 s, the last 0.200 s: " in plain(last, "flow", table(last))
    assert {row.worst.flow: row.misses.total for row in table(last)} == {
        "10.0.0.2:4000 > 10.0.0.1:53": 140,
        "10.0.0.2:4001 > 10.0.0.1:54": 13,
    }


def test_a_filter_leaves_the_other_flows_out() -> None:
    linker = Linker(selection=selection_of([("port", "54")]))
    first, _ = snapshots(storm(), linker=linker)
    assert flows(table(first)) == ["10.0.0.2:4001 > 10.0.0.1:54"]


def test_the_kernels_counters_are_read_when_a_snapshot_is_due() -> None:
    machine = FakeMachine()
    session = FakeSession(machine, [], left=[count(2100, STORM, 7, since=10)])
    shown: list[Snapshot] = []
    top = Top(Linker(), shown.append, nothing, interval_ns=2 * S)
    steps: list[int] = []
    counted = CountedSession(session, top, lambda: machine.time, lambda: steps.append(1))
    top.feed(header())
    top.feed(miss(10, STORM, SERVER))
    machine.time = at(1000)
    assert counted.poll(0) == []
    machine.time = at(2100)
    (read,) = counted.poll(0)
    top.feed(read)
    assert counted.poll(0) == []
    assert len(session.drained) == 1
    top.feed(tick(2150))
    # By the clock at which they were read, not at which they are shown.
    assert shown[0].span_ns == session.drained[0] - at(0)
    assert shown[0].mono_ns < at(2150)
    assert table(shown[0])[0].misses == Figure(7, 7)
    assert len(steps) == 3


def test_as_many_intervals_as_were_asked_for() -> None:
    shown: list[Snapshot] = []
    top = Top(Linker(), shown.append, nothing, interval_ns=S, refreshes=2)
    for event in (header(), tick(1000), tick(2000)):
        assert not top.full
        top.feed(event)
    assert top.full
    top.feed(end(2100))
    assert len(shown) == 2


def test_flows_beyond_the_limit_are_counted_and_the_busy_ones_stay() -> None:
    limits = replace(Limits(), incidents=2)
    events: list[Event] = [header(), miss(10, STORM, SERVER), count(500, STORM, 100, since=10)]
    for number in range(4):
        scan = gram("10.0.0.3:5000", f"10.0.0.1:{6000 + number}")
        events += [miss(600 + 300 * number, scan), tick(850 + 300 * number)]
        events.append(count(860 + 300 * number, STORM, 101 + number, since=10))
    (shown,) = snapshots([*events, tick(2100)], limits=limits)
    assert "10.0.0.2:4000 > 10.0.0.1:53" in flows(table(shown))
    assert len(shown.entries) == 2
    assert (shown.forgotten_flows, shown.forgotten_misses) == (3, 3)
    text = plain(shown, "flow", table(shown))
    assert "108 misses in 2 flows" in text.splitlines()[0]
    assert "left out: 3 flows with 3 misses" in text.splitlines()[0]


def test_a_flow_that_comes_back_begins_anew() -> None:
    limits = replace(Limits(), incidents=1)
    other = gram("10.0.0.3:5000", "10.0.0.1:6000")
    events: list[Event] = [
        header(),
        miss(10, STORM, SERVER),
        count(300, STORM, 100, since=10),
        miss(600, other),
        tick(900),
        miss(1200, STORM, SERVER, since=10, total=104),
        tick(1500),
        tick(2000),
    ]
    (shown,) = snapshots(events, limits=limits)
    (row,) = table(shown)
    assert row.worst.flow == "10.0.0.2:4000 > 10.0.0.1:53"
    assert (row.misses.total, shown.forgotten_misses) == (4, 101)
    assert "105 misses in 1 flow" in plain(shown, "flow", [row])


def test_drops_are_read_where_what_concerns_the_targets_was_received() -> None:
    reader = Reader()
    shown: list[Snapshot] = []
    top = Top(
        Linker(frozenset((BOX,))),
        shown.append,
        reader,
        interval_ns=2 * S,
        targets=TargetSet((BOX,)),
    )
    for event in storm()[:-1]:
        top.feed(event)
    assert flows(table(shown[0])) == ["10.0.0.2:4000 > 10.0.0.1:53"]
    assert reader.asked == [sorted((HOST, BOX))]


def test_a_meter_forgets_the_least_recently_counted() -> None:
    meter: Meter[str] = Meter(2)
    for key in ("a", "b", "a", "c"):
        meter.add(key, 1)
    assert meter.figure("a") == Figure(2, 2)
    assert meter.figure("b") == Figure(0, 0)
    meter.begin()
    assert meter.figure("a") == Figure(0, 2)


# Drops


def test_drops_are_the_refusing_sockets() -> None:
    reader = Reader(details({SERVER: 5}), details({SERVER: 9}))
    first, second = snapshots(storm(), reader)
    assert table(first)[0].drops == NOT_KNOWN  # what it dropped before is nobody's news
    assert table(second)[0].drops == Figure(4, 4)
    assert table(second)[1].drops == NOT_KNOWN  # no socket
    assert reader.asked[0] == sorted((HOST, BOX))


def test_a_socket_that_drops_without_a_miss_has_a_row_by_socket() -> None:
    reader = Reader(details({ASIDE: 5}), details({ASIDE: 12}))
    _, second = snapshots(storm(), reader)
    assert len(table(second)) == 2
    assert "7 dropped by sockets of no flow (b: by socket)" in plain(second, "flow", table(second))
    worst = table(second, "socket", "drops")[0]
    assert worst.worst.socket is not None
    assert worst.worst.socket.local == "0.0.0.0:99"
    assert (worst.drops, worst.misses, worst.flows) == (Figure(7, 7), Figure(0, 0), 0)
    shown = plain(second, "socket", table(second, "socket", "drops"))
    assert "dropped by sockets of no flow" not in shown
    reader = Reader(details({ASIDE: 5}), details({ASIDE: 12}))
    _, second = snapshots(storm(), reader, every_socket=False)
    assert all(entry.incident is not None for entry in second.entries)


def test_a_counter_of_drops_that_wraps_or_a_new_socket() -> None:
    drops = Drops()
    drops.take(details({SERVER: (1 << 32) - 2, ASIDE: None}))
    drops.take(details({SERVER: 3, SENDER: 4}))
    assert drops.figure(DropId(HOST, 7)) == Figure(5, 5)
    assert drops.figure(DropId(HOST, 8)) == Figure(4, 4)
    assert drops.figure(DropId(HOST, 9)) == NOT_KNOWN
    drops.take(Reading(late=1, closed=2))
    assert drops.figure(DropId(HOST, 7)) == NOT_KNOWN
    assert drops.unknown == (
        "drops: 1 netns left out: too many sockets to read in time",
        "drops: 2 netns could not be read",
    )


def test_a_namespace_that_is_gone_is_not_asked_for_again() -> None:
    reader = Reader(Reading(gone=(BOX,)))
    snapshots(storm(), reader)
    assert reader.asked == [sorted((HOST, BOX)), [HOST]]


# Rows


def test_an_error_told_about_one_of_several_flows_is_not_credited_to_each() -> None:
    unconnected = sock("0.0.0.0:4000", inode=8, netns=BOX)
    other = gram("10.0.0.2:4000", "10.0.0.1:54")
    events: list[Event] = [
        header(),
        namespace(0.1, BOX, "box", "10.0.0.2"),
        seen(0.2, unconnected),
        miss(10, STORM),
        error(11, unconnected),
        tick(500),
        miss(510, other),
        error(511, unconnected),
        tick(2000),
    ]
    (shown,) = snapshots(events)
    assert [row.errors for row in table(shown)] == [NOT_KNOWN, NOT_KNOWN]
    (whole,) = table(shown, "netns")
    assert whole.errors == Figure(2, 2)
    _, _, first, second, _ = plain(shown, "flow", table(shown)).splitlines()
    assert [line.split()[1:3] for line in (first, second)] == [["?", "-"]] * 2


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("misses", ["b", "a", "c", "d"]),
        ("errors", ["c", "b", "a", "d"]),
        ("drops", ["d", "b", "a", "c"]),
        ("name", ["a", "b", "c", "d"]),
    ],
)
def test_the_worst_comes_first(sort: Sort, expected: list[str]) -> None:
    (shown, _) = snapshots(storm())
    entry = shown.entries[0]
    assert entry.incident is not None
    figures = {
        "a": (Figure(5, 5), 0, NOT_KNOWN),
        "b": (Figure(5, 9), 0, NOT_KNOWN),
        "c": (Figure(1, 1), 8, NOT_KNOWN),
        "d": (Figure(0, 0), 0, Figure(0, 0)),
    }
    made = tuple(
        replace(
            entry,
            incident=replace(entry.incident, datagram=replace(STORM, src=name)),
            misses=misses,
            errors={SocketId(BOX, name, None): Figure(errors, errors)},
            drops=drops,
        )
        for name, (misses, errors, drops) in figures.items()
    )
    for entries in (made, made[::-1]):
        found = rows(replace(shown, entries=entries), "flow", sort)
        assert [(row.worst.flow or "")[0] for row in found] == expected


def test_groups() -> None:
    first, _ = snapshots(storm())
    socket, none = table(first, "socket")
    assert (socket.misses.new, none.misses.new) == (100, 3)
    assert "no socket for 10.0.0.1:54" in plain(first, "socket", [none])
    (netns,) = table(first, "netns")
    assert (netns.flows, netns.misses, netns.causes) == (
        2,
        Figure(103, 103),
        ("remote-address", "no-socket"),
    )
    assert "remote-address +1" in plain(first, "netns", [netns])
    process, unknown = table(first, "process")
    assert "named[70]" in plain(first, "process", [process])
    assert "process unknown" in plain(first, "process", [unknown])


# How it looks


def test_a_block_of_lines() -> None:
    first, _ = snapshots(storm())
    status, heads, worst, few, more, last = plain(
        first, "flow", [*table(first), *table(first)], 2
    ).splitlines()
    assert status == "12:03:02.000  2 s: 103 misses in 2 flows; nothing lost"
    assert " ".join(heads.split()) == (
        "MISS/S ERR/S DROP/S MISSES ERRORS DROPS CAUSE FLOW HELD BY SENT BY NETNS"
    )
    for word in ("50", "remote-address", "named[70]", "dig[80]", "netns host"):
        assert word in worst
    assert few.split()[:4] == ["1.5", "0", "-", "3"]
    assert (more, last) == ("2 more rows", "")


def test_losses_and_doubts_stand_beside_the_figures() -> None:
    events = [*storm()[:-2], Loss(at(2100), "error", 4), miss(2200, FEW, no_walk=True, total=4)]
    shown = snapshots([*events, tick(4000)])[-1]
    line = plain(shown, "flow", table(shown)).splitlines()[0]
    assert "lost: 4 records of errors told to a socket" in line
    assert "in doubt (?)" in line
    assert "no-socket?" in plain(shown, "flow", table(shown))


def test_json() -> None:
    first, _ = snapshots(storm())
    interval, worst, few = map(json.loads, jsonl(first, "flow", table(first)).splitlines())
    assert (interval["kind"], interval["rows"], interval["span_ns"]) == ("interval", 2, 2 * S)
    assert (worst["kind"], worst["rank"], few["rank"]) == ("top", 1, 2)
    assert worst["misses"] == {"per_second": 50.0, "new": 100, "total": 100}
    assert worst["drops"] == {"per_second": None, "new": None, "total": None}
    assert worst["cause"] == "remote-address"
    assert worst["socket"]["processes"][0]["comm"] == "named"
    assert len(jsonl(first, "flow", table(first), 1).splitlines()) == 2


@pytest.mark.parametrize("columns", [0, 1, 5, 10, 40, 79, 80, 120, 200])
@pytest.mark.parametrize("height", [1, 2, 4, 5, 6, 24])
def test_a_screen_has_its_size(columns: int, height: int) -> None:
    first, _ = snapshots(
        [*begin(), owners(0.3, 7, (70, "\u4e2d" * 12 + "\x1b[2J", 3)), *storm()[7:]]
    )
    display = Display("flow", "misses", 2 * S)
    for snapshot in (None, first):
        if snapshot:
            display.take(snapshot)
        lines, heads = display.lines(columns, height)
        assert len(lines) == height
        assert max(map(width, lines)) <= columns
        assert lines[-1] == cut(KEYS, columns)
        assert heads < height - 1
        assert heads == -1 or lines[heads].startswith(cut("MISS/S", columns)[:6])
        assert not any("\x1b" in text for text in lines)


def test_rows_give_way_and_are_counted() -> None:
    first, _ = snapshots(storm())
    display = Display("flow", "misses", 2 * S)
    display.take(first)
    lines, heads = display.lines(200, 6)
    assert "10.0.0.1:53" in lines[heads + 1]
    assert "10.0.0.1:54" in lines[heads + 2]
    lines, heads = display.lines(200, 5)
    assert lines[heads + 1] == "2 more rows"
    display.limit = 1
    assert "more row" in display.lines(200, 24)[0][4]


def test_a_flow_fits_into_80_columns() -> None:
    first, _ = snapshots(storm())
    display = Display("flow", "misses", 2 * S)
    display.take(first)
    lines, heads = display.lines(80, 24)
    assert "10.0.0.2:4000 > 10.0.0.1:53 named[70]" in lines[heads + 1]


def test_a_status_that_is_too_long_says_so() -> None:
    first, _ = snapshots(storm())
    display = Display("flow", "misses", 2 * S)
    display.take(replace(first, undropped=("word " * 99,)))
    lines, heads = display.lines(80, 24)
    assert lines[heads - 1].endswith("...")
    assert "MISS/S" in lines[heads]
    assert heads == 4


def test_keys() -> None:
    first, second = snapshots(storm())
    display = Display("flow", "misses", 2 * S)
    assert not display.press("e")
    display.take(first)
    assert "errors first" in display.lines(100, 24)[0][0]
    for by in ("socket", "netns", "process", "flow"):
        display.press("b")
        assert f"by {by}" in display.lines(100, 24)[0][0]
    display.press(" ")
    display.take(second)
    assert "PAUSED" in display.lines(100, 24)[0][0]
    assert "2 s:" in display.lines(100, 24)[0][1]
    display.press("p")
    assert "PAUSED" not in display.lines(100, 24)[0][0]
    assert "4 s:" in display.lines(100, 24)[0][1]
    display.notice = "the recording fails"
    assert "the recording fails" in display.lines(100, 24)[0][0]
    assert not display.press("x")
    assert display.press("q")


def test_cutting_minds_wide_characters() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab~"
    assert cut("\u4e2d\u4e2d\u4e2d", 5) == "\u4e2d\u4e2d~"
    assert cut("\u4e2d\u4e2d\u4e2d", 4) == "\u4e2d~"
    assert cut("abc", 0) == ""
