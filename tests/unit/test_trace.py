"""The live loop on a fake machine: what it logs, when it acts, and that a replay shows the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit import scenes
from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    at,
    close,
    connect,
    counters,
    gram,
    miss,
    namespace,
    owners,
    seen,
    sock,
    task,
    walk,
)
from tests.unit.fakes import MS, FakeMachine, FakeSession, LineRenderer, S
from tracer.containers import Container
from tracer.events import (
    Clock,
    Counters,
    End,
    Event,
    Header,
    Loss,
    Miss,
    NetnsContainers,
    NetnsInfo,
    Owners,
    PortDump,
    TargetChange,
    Tick,
)
from tracer.link import SETTLE_NS, Linker
from tracer.present import Presenter
from tracer.recording.errors import RecordingError
from tracer.recording.reader import Reader
from tracer.recording.writer import Writer
from tracer.schedule import CLOCK_NS, GRACE_NS, IDLE_MS
from tracer.signals import Stop
from tracer.system.snapshot import Snapshot
from tracer.system.targets import Targets
from tracer.trace import Plan, Trace

PLAN = Plan(targets=Targets((), ()), argv=("udptrace",), closed_window_ns=60 * S, duration_ns=2 * S)
SERVER = sock("0.0.0.0:53", inode=1)


def _misses(number: int, first_ms: float = 100, step_ms: float = 1000) -> list[Event]:
    """Misses of different datagrams, which are incidents of their own."""
    return [
        miss(first_ms + n * step_ms, gram(f"10.0.0.{n + 1}:9", "10.0.0.99:53"))
        for n in range(number)
    ]


def _arriving(events: list[Event], late_ms: float = 0.1) -> list[tuple[int, list[Event]]]:
    """Each event on its own, a little after it happened."""
    return [(event.time + int(late_ms * MS), [event]) for event in events]


@dataclass
class Bench:
    """A trace with everything around it; `run` and look."""

    path: Path
    batches: list[tuple[int, list[Event]]] = field(default_factory=list)
    plan: Plan = PLAN
    renderer: LineRenderer = field(default_factory=LineRenderer)
    stop: Stop = field(default_factory=Stop)
    said: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ready: Callable[[], None] = lambda: None
    unread: Callable[[], bool] = lambda: False
    recording_failed: bool = False

    def __post_init__(self) -> None:
        self.machine = FakeMachine(at(0))
        self.session = FakeSession(self.machine, self.batches)

    def run(self, path: str | None = None) -> str:
        targets = self.plan.targets
        linker = Linker(frozenset(targets.inums), following=bool(targets.containers))
        trace = Trace(
            self.session,
            self.machine,
            Presenter(linker, self.renderer, self.renderer.write, self.plan.count),
            self.plan,
            self.stop,
            self.said.append,
            writer=Writer(path or str(self.path), self.machine.now),
            ready=lambda: self.ready(),
            status=self.statuses.append,
            unread=lambda: self.unread(),
        )
        try:
            return trace.run()
        finally:
            self.recording_failed = trace.recording_failed

    def recorded(self) -> list[Event]:
        with Reader(str(self.path)) as reader:
            events = list(reader)
            assert reader.problems() == []
        return events

    def replayed(self) -> list[str]:
        """What a replay shows, made from the recording alone."""
        renderer = LineRenderer()
        with Reader(str(self.path)) as reader:
            header = reader.header
            linker = Linker(
                frozenset(header.targets),
                following=bool(header.following),
                closed_window_ns=header.closed_window_ns,
            )
            presenter = Presenter(linker, renderer, renderer.write, header.count)
            for event in reader:
                presenter.feed(event)
        return renderer.lines


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "trace.jsonl")


def _play(bench: Bench, events: list[Event], **plan: object) -> list[Event]:
    """Run a trace of these events and return its log."""
    bench.session.batches[:] = _arriving(events)
    bench.plan = replace(bench.plan, **plan)  # type: ignore[arg-type]
    bench.run()
    return bench.recorded()


@pytest.mark.parametrize("scene", [scenes.run_a, scenes.run_b])
def test_the_seed_s_incident_live_and_replayed(
    bench: Bench, scene: Callable[[], list[Event]]
) -> None:
    kernel: list[Event] = [
        e for e in scene() if not isinstance(e, Header | End | NetnsInfo | Owners)
    ]
    bench.machine.infos = {e.inum: e for e in scene() if isinstance(e, NetnsInfo)}
    bench.machine.holders = {e.inode: e for e in scene() if isinstance(e, Owners)}
    log = _play(bench, kernel, duration_ns=60 * S)
    assert [e for e in log if e in kernel] == kernel
    assert bench.renderer.incidents
    assert bench.replayed() == bench.renderer.lines


EVENT_POOL = [
    *[e for e in scenes.run_b() if not isinstance(e, Header | End)],
    *_misses(4, 43000, 300),
    miss(43500, gram("10.0.0.1:9", "10.0.0.99:53"), SERVER, total=7, since=43000),
    miss(
        43550, gram("10.0.0.1:9", "10.0.0.99:53"), walked=walk(SERVER, lost=2), total=8, since=43000
    ),
    close(43700, SERVER),
    Loss(at(43650), "call", 3),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(EVENT_POOL), st.integers(0, 400 * MS)), max_size=30),
    st.integers(1, 3) | st.none(),
    st.sampled_from([(), (HOST,), (BOX,)]),
)
def test_a_replay_shows_what_the_live_trace_showed(
    tmp_path: Path, timed: list[tuple[Event, int]], count: int | None, targets: tuple[int, ...]
) -> None:
    """Whatever comes, in whatever order and however late."""
    bench = Bench(tmp_path / "trace.jsonl")
    batches: dict[int, list[Event]] = {}
    for event, late in timed:
        batches.setdefault(event.time + late, []).append(event)
    bench.session.batches[:] = sorted(batches.items())
    bench.plan = replace(PLAN, count=count, duration_ns=60 * S, targets=Targets(targets, ()))
    bench.run()
    assert bench.replayed() == bench.renderer.lines
    if count is not None:
        assert len({i["id"] for i in bench.renderer.incidents}) <= count


def test_the_log_begins_with_what_was_there_before(bench: Bench) -> None:
    info, socket, owner = namespace(2, HOST, "host"), seen(3, SERVER), owners(4, 1)
    early = close(2.5, sock("0.0.0.0:99", inode=2))
    bench.machine.before = Snapshot([info, socket, owner], ["one namespace could not be entered"])
    log = _play(bench, [early])
    header, *rest = log
    assert isinstance(header, Header)
    assert header.time == at(0)
    assert (header.probes, header.missing) == (bench.session.probes, bench.session.missing)
    assert header.unproven == bench.session.unproven
    # In the order of their times, with what happened while the snapshot was taken.
    assert rest[:4] == [info, early, socket, owner]
    assert bench.said == ["one namespace could not be entered"]


def test_it_is_ready_once_all_that_is_in_the_log(bench: Bench) -> None:
    bench.machine.before = Snapshot([seen(3, SERVER)])
    seen_when_ready: list[int] = []
    bench.ready = lambda: seen_when_ready.append(bench.session.polls)
    bench.run()
    assert seen_when_ready == [1]


def test_time_that_passes_is_an_event(bench: Bench) -> None:
    (one,) = _misses(1)
    log = _play(bench, [one])
    (tick,) = (e for e in log if isinstance(e, Tick))
    due = one.time + SETTLE_NS
    # Not before all events up to then are sure to have come, and soon after that.
    assert due <= tick.time < due + IDLE_MS * MS
    assert log.index(tick) == log.index(one) + 1
    assert len(bench.renderer.incidents) == 1


def test_an_event_that_comes_late_is_still_waited_for(bench: Bench) -> None:
    (one,) = _misses(1)
    late = close(100 + SETTLE_NS / MS - 1, SERVER)
    bench.session.batches[:] = [(one.time, [one]), (late.time + GRACE_NS // 2, [late])]
    bench.run()
    log = bench.recorded()
    (tick,) = (e for e in log if isinstance(e, Tick))
    assert log.index(late) < log.index(tick)


def test_no_time_passes_while_events_are_left_in_the_kernel(bench: Bench) -> None:
    """A storm is read in parts: what belongs to a miss may come long after it."""
    (one,) = _misses(1)
    late = close(5 * SETTLE_NS / MS, SERVER)
    bench.session.batches[:] = [(one.time, [one]), (late.time, [late])]
    bench.session.behind = True
    bench.run()
    assert [e.kind for e in bench.recorded()] == ["header", "miss", "close", "end"]


def test_no_tick_without_a_deadline(bench: Bench) -> None:
    assert [e.kind for e in _play(bench, [close(10, SERVER)])] == ["header", "close", "end"]


def test_it_ends_after_its_duration(bench: Bench) -> None:
    log = _play(bench, [], duration_ns=3 * S)
    end = log[-1]
    assert isinstance(end, End)
    assert end.reason == "duration"
    assert 0 <= end.time - log[0].time - 3 * S < 20 * MS


def test_what_is_left_in_the_kernel_belongs_to_the_log(bench: Bench) -> None:
    (one,) = bench.session.left = _misses(1, 1999)
    log = _play(bench, [])
    assert log[-2:] == [one, End(bench.machine.time, "duration")]
    assert len(bench.renderer.incidents) == 1


def test_a_signal_ends_it_with_an_end(bench: Bench) -> None:
    bench.ready = lambda: setattr(bench.stop, "reason", "terminated")
    assert bench.run() == "terminated"
    assert bench.recorded()[-1] == End(bench.machine.time, "terminated")


def test_a_signal_during_the_start_is_an_interruption_not_an_end(bench: Bench) -> None:
    def interrupted(self: object) -> Snapshot:
        raise KeyboardInterrupt

    bench.machine.snapshot = interrupted.__get__(bench.machine)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert bench.recorded()[-1] == End(bench.machine.time, "failed: KeyboardInterrupt")


def test_count_ends_it_at_the_first_incidents(bench: Bench) -> None:
    log = _play(bench, _misses(5), count=2, duration_ns=60 * S)
    assert isinstance(log[-1], End)
    assert log[-1].reason == "count"
    assert len(bench.renderer.incidents) == 2
    assert bench.replayed() == bench.renderer.lines


def test_count_is_exact_even_if_more_come_at_once(bench: Bench) -> None:
    _play(bench, _misses(5, step_ms=0.1), count=2)
    assert len(bench.renderer.incidents) == 2
    assert bench.replayed() == bench.renderer.lines


def test_a_closed_output_is_a_clean_end_and_the_recording_whole(bench: Bench) -> None:
    """All that was seen until then is in both, and what is shown of it, nobody reading it."""
    bench.unread = lambda: len(bench.renderer.lines) >= 2
    log = _play(bench, _misses(5), duration_ns=60 * S)
    assert log[-1] == End(bench.machine.time, "output closed")
    assert bench.machine.time < at(3000)
    assert bench.replayed() == bench.renderer.lines


def test_a_full_disk_stops_the_recording_and_not_the_trace(bench: Bench) -> None:
    bench.session.batches[:] = _arriving(_misses(3, 500))
    bench.plan = replace(PLAN, duration_ns=9 * S)
    assert bench.run("/dev/full") == "duration"
    assert len(bench.renderer.incidents) == 3
    (told,) = bench.said
    assert told == (
        "/dev/full: cannot be written: No space left on device;"
        " the trace goes on without its recording"
    )
    assert bench.recording_failed


def test_a_mere_recording_ends_when_it_cannot_be_written(bench: Bench) -> None:
    bench.plan = replace(PLAN, recording_only=True)
    with pytest.raises(RecordingError, match="No space left on device"):
        bench.run("/dev/full")
    assert bench.said == []
    assert bench.recording_failed


def test_a_failure_ends_the_recording_with_its_reason(bench: Bench) -> None:
    def poll(timeout_ms: int) -> list[Event]:
        raise RuntimeError("the ring buffer is gone")

    bench.session.poll = poll  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        bench.run()
    assert bench.recorded()[-1] == End(bench.machine.time, "failed: the ring buffer is gone")


def test_a_trace_that_fails_before_its_header_records_nothing(bench: Bench) -> None:
    def clock() -> Clock:
        raise RuntimeError("there is no clock")

    bench.machine.clock = clock  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        bench.run()
    assert bench.renderer.lines == []
    assert not bench.path.exists()


def test_what_events_mention_is_looked_up_and_part_of_the_log(bench: Bench) -> None:
    info, owner = namespace(1, HOST, "host"), owners(1, 1, (7, "dns", 3))
    bench.machine.infos, bench.machine.holders = {HOST: info}, {1: owner}
    one = miss(100, gram("10.0.0.1:9", "10.0.0.99:53"), SERVER)
    log = _play(bench, [one])
    at_one = log.index(one)
    assert log[at_one + 1 : at_one + 3] == [info, owner]


def test_a_late_batch_does_not_settle_a_miss_before_its_look_ups(bench: Bench) -> None:
    """One poll can bring a miss and events from long after it has settled."""
    bench.machine.infos[HOST] = namespace(0, HOST, "web")
    both = [*_misses(1, 100), *_misses(1, 5000)]
    bench.session.batches[:] = [(at(5001), both)]
    bench.plan = replace(bench.plan, duration_ns=9 * S)
    bench.run()
    first = bench.renderer.incidents[0]
    assert first["netns"]["name"] == "web"  # type: ignore[index]
    assert bench.replayed() == bench.renderer.lines


def test_a_short_walk_is_completed_in_the_log(bench: Bench) -> None:
    """Even where everything, the settling time included, came out of the kernel at once."""
    near = sock("10.0.0.1:53", "10.0.0.9:69", inode=5, name="")
    bench.machine.sockets = (near,)
    cut = walk(sock("10.0.0.2:53", inode=6), truncated=True, visited=256)
    missed = miss(100, gram("10.0.0.9:9", "10.0.0.1:53"), walked=cut)
    bench.session.batches[:] = [(at(600), [missed, *_misses(1, 500)])]
    bench.run()
    log = bench.recorded()
    after = log[log.index(missed) + 1]
    assert isinstance(after, PortDump)
    assert (after.sockets, after.total) == ((near,), 1)
    (first, *_) = bench.renderer.incidents
    assert first["cause"] == "remote-port"
    assert bench.replayed() == bench.renderer.lines


def test_clock_anchors_come_each_minute(bench: Bench) -> None:
    log = _play(bench, [], duration_ns=150 * S)
    anchors = [e for e in log if isinstance(e, Clock)]
    assert len(anchors) == 2
    assert all(0 <= a.time - at(0) - n * CLOCK_NS < S for n, a in enumerate(anchors, 1))


def test_the_namespaces_are_looked_at_again_each_minute(bench: Bench) -> None:
    bench.machine.before = Snapshot([namespace(1, HOST, "host", "10.0.0.1")])
    moved = namespace(2, HOST, "host", "10.0.0.2")
    bench.machine.infos[HOST] = moved
    assert moved in _play(bench, [], duration_ns=61 * S)


def _counted(log: list[Event]) -> list[tuple[int, int, bool]]:
    """Of each reading in the log its namespace, NoPorts and whether it is final."""
    readings = [e for e in log if isinstance(e, Counters)]
    return [(e.inum, dict(e.values).get("UdpNoPorts", -1), e.final) for e in readings]


def test_counters_are_read_at_first_each_minute_and_at_the_end(bench: Bench) -> None:
    bench.machine.counted = {HOST: counters(0, HOST, UdpNoPorts=4)}
    when_ready: list[int] = []
    bench.ready = lambda: when_ready.append(len(bench.session.drained))
    changed = close(30_000, SERVER)
    bench.session.batches[:] = _arriving([changed])
    poll = bench.session.poll

    def change(timeout_ms: int) -> list[Event]:
        events = poll(timeout_ms)
        if changed in events:
            bench.machine.counted[HOST] = counters(0, HOST, UdpNoPorts=9)
        return events

    bench.session.poll = change  # type: ignore[method-assign]
    bench.plan = replace(PLAN, duration_ns=150 * S)
    bench.run()
    log = bench.recorded()
    assert _counted(log) == [(HOST, 4, False), (HOST, 9, False), (HOST, 9, True)]
    # All misses up to then are in the log before a reading, and it knows when they were read again.
    assert when_ready == [2]
    first = next(e for e in log if isinstance(e, Counters))
    assert bench.session.drained[0] <= first.time <= first.until == bench.session.drained[1]


def test_a_namespace_that_turns_up_is_counted_from_then_on(bench: Bench) -> None:
    bench.machine.infos = {BOX: namespace(1, BOX, "box")}
    one = miss(100, gram("10.0.0.1:9", "10.0.0.99:53"), netns=BOX)
    bench.ready = lambda: bench.machine.counted.update({BOX: counters(0, BOX, UdpNoPorts=1)})
    log = _play(bench, [one])
    assert _counted(log) == [(BOX, 1, False), (BOX, 1, True)]


def test_a_trace_that_has_enough_reads_no_counters_at_its_end(bench: Bench) -> None:
    bench.machine.counted = {HOST: counters(0, HOST, UdpNoPorts=4)}
    log = _play(bench, _misses(5), count=2, duration_ns=60 * S)
    assert _counted(log) == [(HOST, 4, False)]


def test_status_lines(bench: Bench) -> None:
    _play(bench, [], duration_ns=130 * S)
    assert [age // S for age in bench.statuses] == [10, 30, 60, 120]


def test_the_header_says_what_was_asked_for(bench: Bench) -> None:
    log = _play(bench, [], targets=Targets((HOST,), ("host",)), argv=("udptrace", "-N", "host"))
    header = log[0]
    assert isinstance(header, Header)
    assert (header.tool, header.format) == ("udptrace", 1)
    assert (header.targets, header.target_names) == ((HOST,), ("host",))
    assert header.argv == ("udptrace", "-N", "host")


def test_other_namespaces_are_recorded_and_not_shown(bench: Bench) -> None:
    (one,) = _misses(1)
    log = _play(bench, [one], targets=Targets((BOX,), ("box",)))
    assert one in log
    assert isinstance(one, Miss)
    assert bench.renderer.incidents == []


WEB = Container("docker", "3f2a" * 16, "web", "alpine:3.20")


def test_a_container_is_followed_and_the_replay_shows_the_same(bench: Bench) -> None:
    one = miss(100, gram("10.0.0.1:9", "10.0.0.99:53"), netns=BOX)
    started = TargetChange(at(50), "web", "started", BOX, 7, WEB)
    bench.machine.containers.found = [started, NetnsContainers(at(50), BOX, 7, (WEB,))]
    log = _play(bench, [one], targets=Targets((), (), ("web",)))
    assert bench.said == []
    assert isinstance(log[0], Header)
    assert log[0].following == ("web",)
    assert started in log
    (incident,) = bench.renderer.incidents
    assert incident["netns"]["container"]["name"] == "web"  # type: ignore[index]
    assert bench.replayed() == bench.renderer.lines


def test_a_trace_that_is_only_recorded_says_when_it_starts(bench: Bench) -> None:
    bench.machine.containers.found = [TargetChange(at(50), "web", "started", BOX, 7, WEB)]
    _play(bench, [], targets=Targets((), (), ("web",)), recording_only=True)
    assert bench.said == ["container web (docker 3f2a3f2a3f2a) started"]


def test_while_it_is_waited_for_nothing_is_shown(bench: Bench) -> None:
    one = miss(100, gram("10.0.0.1:9", "10.0.0.99:53"), netns=BOX)
    _play(bench, [one], targets=Targets((), (), ("web",)))
    assert bench.renderer.incidents == []


def test_containers_are_asked_about_what_events_mention(bench: Bench) -> None:
    bench.machine.infos = {BOX: namespace(1, BOX, "box")}
    by = task(77, "dig")
    one = miss(100, gram("10.0.0.1:9", "10.0.0.99:53"), netns=BOX)
    calls = [connect(n, sock("0.0.0.0:9"), sock("10.0.0.1:9"), by=by) for n in (50, 60)]
    _play(bench, [*calls, one])
    asked = bench.machine.containers
    assert asked.processes == [(77, by.start_ns)]
    assert {inum for inum, _, _ in asked.netns} == {BOX, HOST}


def test_the_kernel_drops_the_misses_of_others_while_the_container_runs(bench: Bench) -> None:
    web, db = (TargetChange(at(50), name, "started", n, 0, WEB) for name, n in _IN.items())
    bench.machine.containers.found = [web]
    bench.ready = lambda: bench.machine.containers.found.extend([db, replace(db, state="ended")])
    targets = Targets((HOST,), ("host",), ("web", "db"))
    _play(bench, [], targets=targets, only_targets=True)
    # One of the two is still waited for: it may begin in any namespace.
    assert bench.session.only == [None, None, None]
    bench.machine.containers.found, bench.ready = [web, db], lambda: None
    _play(bench, [], targets=targets, only_targets=True)
    assert bench.session.only[3:] == [None, (HOST, BOX, OTHER)]


_IN = {"web": BOX, "db": OTHER}


def test_fixed_targets_are_kept_in_the_kernel_from_the_start(bench: Bench) -> None:
    _play(bench, [], targets=Targets((BOX,), ("box",)), only_targets=True)
    assert bench.session.only == [(BOX,)]
