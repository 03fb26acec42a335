"""What a recording carries over from before it began: its misses are judged as in the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit import scenes
from tests.unit.build import (
    BOX,
    HOST,
    at,
    close,
    count,
    counters,
    end,
    error,
    expired,
    gram,
    header,
    loss,
    miss,
    received,
    seen,
    sock,
    tick,
)
from tests.unit.linking import updates
from tests.unit.test_properties import thorough, traces
from tracer.containers import Container
from tracer.counts import key_of
from tracer.events import (
    Carried,
    Counters,
    Event,
    Header,
    InContainer,
    Known,
    Miss,
    MissCount,
    NetnsContainers,
    NetnsInfo,
    Owners,
    PortDump,
    TargetChange,
    Translation,
)
from tracer.link import IncidentUpdate, Linker
from tracer.recording.state import State
from tracer.timefmt import Anchor

GAP_NS = 5_000_000_000
"""Longer than anything is held back for."""

LOOKED_UP = (Counters, NetnsInfo, Owners, PortDump, Translation)
"""What has no part in time."""

D = gram("10.0.0.9:9", "10.0.0.1:53")


def carried(events: list[Event]) -> list[Event]:
    """The beginning of a file that goes on after these events."""
    state = State()
    for event in events:
        state.take(event)
    return list(state.events(1, 0))


def judged(told: list[IncidentUpdate], since: int) -> set[object]:
    """The verdicts on the misses from a time on, in which incident and however often.

    Not the socket and the names: those of an incident that goes on are from when it began.
    """
    utc = Anchor.of(header()).utc(since)
    return {
        (
            *(i.datagram.src, i.datagram.sport, i.datagram.dst, i.datagram.dport, i.netns.inum),
            *(i.cause, tuple((check.field, check.socket) for check in i.mismatch)),
        )
        for i in (update.incident for update in told)
        if i.last_time is not None and i.last_time >= utc
    }


def counted(trace: list[Event]) -> Iterator[Event]:
    """The trace with totals as a kernel has them: each miss is one more.

    Without counts alone: after a gap the kernel shows again what it counts.
    """
    totals: Counter[object] = Counter()
    for event in trace:
        if isinstance(event, MissCount):
            continue
        if isinstance(event, Miss):
            key = key_of(event)
            totals[key] += 1
            yield replace(event, total=totals[key])
        else:
            yield event


def test_nothing_is_carried_into_the_beginning() -> None:
    assert carried([]) == []


def test_what_is_carried_begins_with_the_header_and_ends_with_what_it_was() -> None:
    first, *rest = carried([header(), tick(1), loss(2, "call", 5)])
    assert first == replace(header(), part=1, carried=True)
    assert rest == [Carried(time=tick(2).time, before=3, repeated=0, lost_calls=5)]


@thorough
@given(traces(), st.data())
def test_what_is_known_outlives_any_number_of_files(
    trace: list[Event], data: st.DataObject
) -> None:
    whole = carried(trace)[1:-1]
    seam = data.draw(st.integers(1, len(trace)))
    assert carried([*carried(trace[:seam]), *trace[seam:]])[1:-1] == whole


@thorough
@given(traces(), st.data())
def test_a_file_that_goes_on_after_a_gap_judges_as_the_whole(
    trace: list[Event], data: st.DataObject
) -> None:
    trace = list(counted(trace))
    latest = 0
    seams = []
    for index, event in enumerate(trace):
        if isinstance(event, LOOKED_UP):
            continue
        if index and event.time - latest > GAP_NS:
            seams.append(index)
        latest = max(latest, event.time)
    assume(seams)
    seam = data.draw(st.sampled_from(seams))
    before, after, whole = Linker(), Linker(), Linker()
    updates([*trace[:seam], replace(end(0), time=trace[seam].time)], before)
    updates([*trace[:seam], replace(tick(0), time=trace[seam].time - 1)], whole)
    told = updates(trace[seam:], whole)
    alone = updates([*carried(trace[:seam]), *trace[seam:]], after)
    since = trace[seam].time
    # The whole may go on telling of what missed before the seam.
    assert judged(alone, since) <= judged(told, since)
    assert before.stats.misses + after.stats.misses == whole.stats.misses


def test_counts_told_before_are_not_told_again() -> None:
    before: list[Event] = [
        header(),
        miss(100, D, total=7, since=100),
        count(200, D, 9, since=100, sent=4),
        miss(300, D, total=12, since=100),
    ]
    linker = Linker()
    told = updates([*carried(before), miss(9000, D, total=15, since=100), end(9999)], linker)
    assert linker.stats.misses == 3
    assert told[-1].incident.count == 3


def test_what_the_kernel_counts_no_more_is_not_carried() -> None:
    gone, going = gram("10.0.0.9:8", "10.0.0.1:53"), D
    before: list[Event] = [
        header(),
        count(100, gone, 9, since=50, sent=9),
        count(60_000, going, 9, since=50, sent=9),
        expired(61_000, 1000),
    ]
    assert [e.datagram for e in carried(before) if isinstance(e, MissCount)] == [going, going]


def test_an_icmp_counted_before_is_not_counted_again() -> None:
    out = gram("10.0.0.1:9", "192.0.2.1:53")
    before: list[Event] = [header(), received(100, out, total=3)]
    told = updates(
        [*carried(before), replace(received(9000, out, total=4), since=at_100()), end(9999)]
    )
    assert [update.incident.count for update in told] == [1]


def at_100() -> int:
    return received(100, D).since


def test_a_closed_socket_is_known_without_its_inode() -> None:
    """An error can be queued on it after its file is gone, when only its struct sock tells it."""
    view = sock("10.0.0.1:53", "10.0.0.9:9", inode=4)
    before: list[Event] = [header(), seen(1, view), close(1000, view)]
    late = error(1001, replace(view, inode=0))
    whole = carried([*before, late])
    assert carried([*carried(before), late])[1:-1] == whole[1:-1]
    assert sum(isinstance(event, Known) for event in whole) == 1


def test_a_summary_covers_the_file_alone() -> None:
    before: list[Event] = [header(), counters(10, HOST, UdpInErrors=5)]
    linker = Linker()
    updates([*carried(before), counters(60_000, HOST, UdpInErrors=9), end(60_001)], linker)
    (part,) = linker.stats.silence
    assert part.deaths == 4
    assert linker.stats.duration == end(60_001).time - counters(10).time


def test_the_seed_s_socket_keeps_its_history() -> None:
    *before, missed, told, closed, last = scenes.run_a()
    whole = updates([*before, missed, told, closed, last])
    part = updates([*carried(before), missed, told, closed, last])
    assert [u.incident for u in part] == [u.incident for u in whole]


def test_a_damaged_end_of_what_is_carried_does_not_silence_the_rest() -> None:
    beginning = carried([header(), *scenes.prelude()[1:]])
    assert isinstance(beginning.pop(), Carried)
    told = updates([*beginning, *scenes.run_a()[-4:]])
    assert [update.incident.cause for update in told[:1]] == ["local-address"]


def test_each_kind_that_is_carried_is_known_as_such() -> None:
    made = {type(event) for event in carried([*scenes.run_b(), count(1, D, 2, since=1)])}
    assert {Header, Known, MissCount, Carried} <= made
    assert sock("10.0.0.1:53").inode


def test_containers_are_carried_over() -> None:
    web = Container("docker", "3f2a" * 16, "web", None)
    older = NetnsContainers(at(1), BOX, 7, ())
    latest = NetnsContainers(at(2), BOX, 7, (web,))
    process = InContainer(at(3), 77, 0, web)
    change = TargetChange(at(4), "web", "started", BOX, 7, web)
    begun = carried([header(), older, latest, process, change])
    assert begun[1:4] == [latest, process, change]
    assert isinstance(begun[-1], Carried)


def test_a_file_alone_follows_a_container_that_began_before_it() -> None:
    web = Container("docker", "3f2a" * 16, "web", None)
    started = TargetChange(at(4), "web", "started", HOST, 1, web)
    begun = carried([replace(header(), following=("web",)), started])
    told = updates([*begun, miss(9000, D), end(10_000)], Linker(following=True))
    assert len(told) == 1
    assert updates([*begun[:1], miss(9000, D), end(10_000)], Linker(following=True)) == []
