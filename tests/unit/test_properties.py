"""What holds for every sequence of events: determinism, exact counts, tame output."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import groupby

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.build import (
    BOX,
    HOST,
    bind,
    close,
    connect,
    count,
    end,
    error,
    gram,
    header,
    loss,
    miss,
    namespace,
    nat,
    owners,
    read,
    seen,
    sock,
    task,
    tick,
    walk,
)
from tests.unit.linking import updates
from tests.unit.test_render_jsonl import stream
from tests.unit.test_render_text import text
from tracer.events import Datagram, Event, Miss, NetnsInfo, Owners, PortDump, Translation
from tracer.link import Linker
from tracer.render.escape import width
from tracer.totals import Limits

# The same examples each time: a failure here is the change's, not the day's.
thorough = settings(
    max_examples=int(os.environ.get("EXAMPLES", "60")),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

ADDRESSES = ("0.0.0.0", "10.0.0.1", "10.0.0.2", "127.0.0.1")
PORTS = (53, 4000)
SMALL = Limits(sockets=4, closed=2, namespaces=1, keys=64, incidents=3, settling=2, errors=2)

hostile = st.text(max_size=60) | st.sampled_from(
    ["\x1b[2J", "\u202e", "网" * 30, "\udcff", "x" * 99]
)


ENDS = [f"{address}:{port}" for address in ADDRESSES for port in PORTS]
# Few enough to collide all the time, drawn as one choice each: that keeps drawing fast.
SOCKETS = [
    sock(local, peer, inode=inode, netns=netns, device=device)
    for local in ENDS
    for peer in (None, *ENDS[2:])
    for inode, netns, device in ((0, HOST, 0), (1, HOST, 0), (2, BOX, 0), (3, HOST, 3))
]
DATAGRAMS = [gram(src, dst) for src in ENDS[2:] for dst in ENDS[2:]]
sockets = st.sampled_from(SOCKETS)


@st.composite
def traces(draw: st.DrawFn, names: st.SearchStrategy[str] | None = None) -> list[Event]:
    """A trace whose times mostly go up, as the ring buffer's do."""
    name = "nc" if names is None else draw(names)
    trace: list[Event] = [header()]
    now = 0.0
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=25)):
        now += draw(st.sampled_from((-0.5, 0.0, 0.1, 150.0, 1000.0, 30_000.0)))
        event = event_of(draw, kind, now, name)
        trace.append(event)
        if kind == "short" and isinstance(event, Miss):
            trace += read_of(draw, event, now, name)
    return [*trace, end(now + 1)]


MISSES = ("miss", "short", "unwalked", "rejected", "count")
LOOKED_UP = ("owners", "netns", "nat")
KINDS = (*MISSES, *LOOKED_UP, "connect", "bind", "close", "error", "seen", "loss", "tick")


def event_of(draw: st.DrawFn, kind: str, now: float, name: str) -> Event:
    if kind in MISSES:
        return miss_of(draw, kind, now, name)
    view, by = draw(sockets), task(1, name)
    if kind == "nat":
        return translation_of(draw, now)
    if kind == "connect":
        return connect(now, view, draw(sockets), by=by)
    made: dict[str, Event] = {
        "bind": bind(now, view, by=by),
        "close": close(now, view, by=by),
        "error": error(now, view),
        "seen": seen(now, view),
        "owners": owners(now, view.inode, (1, name, 3)),
        "netns": namespace(now, HOST, name, "10.0.0.1", links=((2, name),)),
        "loss": loss(now, name),
        "tick": tick(now),
    }
    return made[kind]


def translation_of(draw: st.DrawFn, now: float) -> Event:
    src, dst = draw(st.sampled_from(ENDS[2:])), draw(st.sampled_from(ENDS[2:]))
    datagram, reply = draw(st.sampled_from(DATAGRAMS)), draw(st.booleans())
    netns = draw(st.sampled_from((HOST, BOX)))
    return nat(now, datagram, src, dst, receiver=HOST, netns=netns, reply=reply)


def miss_of(draw: st.DrawFn, kind: str, now: float, name: str) -> Event:
    datagram = replace(draw(st.sampled_from(DATAGRAMS)), ifname=name)
    total = draw(st.integers(1, 5))
    if kind == "count":
        return count(now, datagram, total, since=0)
    if kind == "unwalked":
        return miss(now, datagram, since=0, total=total, no_walk=True)
    if kind == "rejected":
        return miss(now, datagram, since=0, total=total, proven=False, caller=name)
    found = draw(st.lists(sockets, max_size=3))
    walked = walk(*found, truncated=True) if kind == "short" else None
    return miss(now, datagram, *found, since=0, total=total, walked=walked)


def read_of(draw: st.DrawFn, missed: Miss, now: float, name: str) -> list[Event]:
    """What its port was found to hold, soon or late, as a whole or not, if it was read at all."""
    if draw(st.booleans()):
        return []
    incomplete = draw(st.none() | st.just(name))
    after = now + draw(st.sampled_from((1, 100, 500)))
    found = draw(st.lists(sockets, max_size=3))
    return [read(after, missed, *found, total=draw(st.integers(0, 9)), incomplete=incomplete)]


@thorough
@given(traces(hostile))
def test_the_same_events_give_the_same_bytes(trace: list[Event]) -> None:
    assert stream(*trace) == stream(*trace)
    assert text(*trace) == text(*trace)


@thorough
@given(traces())
def test_updates_of_an_incident_follow_each_other(trace: list[Event]) -> None:
    told = sorted(updates(trace), key=lambda u: u.incident.id)
    for _, versions in groupby(told, key=lambda u: u.incident.id):
        previous = None
        for number, update in enumerate(versions, 1):
            assert update.previous == previous
            assert update.incident.seq == number
            assert update.incident.count > 0
            previous = update.incident
    assert len({(u.incident.id, u.incident.seq) for u in told}) == len(told)


@thorough
@given(traces())
def test_nothing_due_is_left_behind(trace: list[Event]) -> None:
    linker, latest = Linker(), 0
    for event in trace:
        linker.feed(event)
        if not isinstance(event, NetnsInfo | Owners | PortDump | Translation):  # looked up
            latest = max(latest, event.time)
        deadline = linker.next_deadline()
        assert deadline is None or deadline > latest
    assert linker.next_deadline() is None


@thorough
@given(traces())
def test_small_limits_change_what_is_known_but_not_how_much_is_counted(trace: list[Event]) -> None:
    ample, tight = Linker(), Linker(limits=SMALL)
    updates(trace, ample)
    updates(trace, tight)
    assert ample.stats.misses == tight.stats.misses
    assert ample.stats.forgotten == {}


# Counts


@st.composite
def readings(draw: st.DrawFn) -> tuple[list[Event], int]:
    """Readings of the kernel's counters of three keys, over two epochs, in any order near their
    times; and how many misses they are about."""
    made: list[tuple[float, Event]] = []
    expected = 0
    for port in draw(st.sets(st.integers(1, 3), min_size=1)):
        for epoch in range(draw(st.integers(1, 2))):
            read, highest = _one_counter(draw, gram("10.0.0.9:4000", f"10.0.0.1:{port}"), epoch)
            made += [(draw(st.floats(0, 800)) + when, event) for when, event in read]
            expected += highest
    made.sort(key=lambda item: item[0])
    return [header(), *(event for _, event in made), end(200_000)], expected


def _one_counter(
    draw: st.DrawFn, datagram: Datagram, epoch: int
) -> tuple[list[tuple[float, Event]], int]:
    since = 1000.0 + epoch * 50_000
    now, total = since, 0
    read: list[tuple[float, Event]] = []
    for _ in range(draw(st.integers(1, 6))):
        total += draw(st.integers(1, 4))
        now += draw(st.sampled_from((0.001, 90.0, 400.0, 3000.0)))
        wrong = f"127.0.0.{draw(st.integers(1, 2))}:{datagram.dport}"
        streamed = miss(now, datagram, sock(wrong), since=since, total=total)
        counted = count(now, datagram, total, since=since)
        read.append((now, streamed if draw(st.booleans()) else counted))
    return read, total


@thorough
@given(readings())
def test_counts_are_exact_however_the_readings_interleave(given: tuple[list[Event], int]) -> None:
    trace, expected = given
    linker = Linker()
    last = {update.incident.id: update.incident.count for update in updates(trace, linker)}
    assert sum(last.values()) == expected
    assert linker.stats.misses == expected


# Output


@thorough
@given(traces(hostile))
def test_text_is_tame_whatever_the_names(trace: list[Event]) -> None:
    for line in text(*trace).splitlines():
        assert line.isprintable(), line
        assert width(line) <= 80, line


@thorough
@given(traces(hostile))
def test_json_comes_back_as_it_was(trace: list[Event]) -> None:
    for update in updates(trace):
        value = update.incident.to_json()
        assert json.loads(json.dumps(value)) == value
    for line in stream(*trace).splitlines():
        assert line.isascii()
        json.loads(line)


@thorough
@given(hostile, hostile)
def test_addresses_from_a_foreign_recording_are_tame_too(src: str, peer: str) -> None:
    view = replace(sock("10.0.0.1:53", "10.0.0.8:1"), peer=peer)
    trace: list[Event] = [
        header(),
        miss(1, replace(gram("10.0.0.9:1", "10.0.0.1:53"), src=src), view),
        end(999),
    ]
    for line in text(*trace).splitlines():
        assert line.isprintable(), line
        assert width(line) <= 80, line
