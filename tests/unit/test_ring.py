"""The flight recorder: what it holds, what it writes and when, and what it does when it cannot."""

from __future__ import annotations

import itertools
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.unit.build import end, gram, header, miss, sock
from tests.unit.linking import updates
from tests.unit.recorded import (
    FakeTime,
    incidents_by_id,
    lone_misses,
    long_trace,
    read,
    replayed,
    utc_at,
    write,
)
from tracer.cli.keeping import AFTER_NS, APART_NS, Requests
from tracer.events import Carried, End, Event, Header, Miss
from tracer.link import IncidentUpdate
from tracer.recording.errors import RecordingError
from tracer.recording.ring import CHUNK_NS, Ring

S = 1_000_000_000


@dataclass
class Bench:
    """A ring in a directory of its own, and all that it was told and says."""

    directory: Path
    now: FakeTime = field(default_factory=FakeTime)
    reasons: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def ring(self, name: str = "box", span_s: int = 60, size: int = 10**9, files: int = 10) -> Ring:
        return Ring(
            str(self.directory / name),
            span_s * S,
            size,
            files,
            lambda: self.reasons.pop() if self.reasons else None,
            self.said.append,
            self.now,
            lambda: float(utc_at(0) + self.now.ns // S),
        )

    def files(self) -> list[Path]:
        return sorted(self.directory.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _play(ring: Ring, events: list[Event]) -> None:
    for event in events:
        ring.write(event)
        ring.flush_due()


def test_a_ring_that_lost_nothing_is_the_recording(bench: Bench) -> None:
    ring = bench.ring(span_s=10**6)
    _play(ring, long_trace(3))
    assert bench.files() == []
    ring.close()
    (path,) = bench.files()
    assert path.name == "box.20261122T120300Z.0001"
    assert read(path) == long_trace(3)
    assert path.stat().st_mode & 0o777 == 0o600
    assert bench.said == [f"{path}: written (end of the trace): 35 events of 181 s"]


def test_what_fell_out_is_carried_and_counted(bench: Bench) -> None:
    trace = long_trace(20)
    ring = bench.ring(span_s=150)
    _play(ring, trace)
    ring.close()
    (path,) = bench.files()
    events = read(path)
    assert isinstance(events[0], Header)
    assert events[0].carried
    seam = next(i for i, event in enumerate(events) if isinstance(event, Carried))
    carried = events[seam]
    own = events[seam + 1 :]
    assert isinstance(carried, Carried)
    assert own == trace[carried.before :]
    newest = trace[-1].time
    assert all(event.time >= newest - 150 * S - CHUNK_NS for event in own)
    assert any(event.time <= newest - 140 * S for event in own)


def test_a_file_of_the_ring_judges_its_incidents_as_the_whole(bench: Bench, tmp_path: Path) -> None:
    trace = long_trace(20)
    ring = bench.ring(span_s=150)
    _play(ring, trace)
    ring.close()
    (path,) = bench.files()
    found = incidents_by_id(replayed(path))
    whole = incidents_by_id(replayed(write(tmp_path / "whole", trace)))
    assert len(found) == 3
    assert found == {known: whole[known] for known in found}


def test_its_memory_is_bounded_by_size_whatever_comes(bench: Bench) -> None:
    ring = bench.ring(span_s=10**6, size=300_000)
    for event in lone_misses(3000):
        ring.write(event)
        assert ring.held_bytes < 300_000
    ring.close()
    (path,) = bench.files()
    own = path.read_bytes().partition(b'{"kind":"carried"')[2]
    assert 200_000 < len(own) < 300_200
    assert bench.said[-1].endswith("; --max-size is too small for 1000000 s")


def test_it_writes_when_asked_and_goes_on(bench: Bench) -> None:
    ring = bench.ring(span_s=10**6)
    first, second = lone_misses(40)[:20], lone_misses(40)[20:]
    _play(ring, first)
    bench.reasons.append("signal")
    bench.now.ns += 5 * S
    ring.flush_due()
    _play(ring, second)
    ring.close()
    one, two = bench.files()
    assert [one.name, two.name] == ["box.20261122T120305Z.0001", "box.20261122T120305Z.0002"]
    assert read(one) == [*first, End(5 * S, "signal")]
    assert read(two) == [*first, *second, End(5 * S, "end of the trace")]


def test_a_large_file_is_written_between_events(bench: Bench) -> None:
    ring = bench.ring(span_s=10**6)
    before = lone_misses(2000)
    _play(ring, before)
    bench.reasons.append("signal")
    bench.now.step = 15_000_000
    ring.flush_due()
    (path,) = bench.files()
    held = path.stat().st_size
    later = replace(before[-1], time=before[-1].time + 1)
    _play(ring, [later] * 30)
    assert path.stat().st_size > held
    assert read(path)[:-1] == before


def test_only_the_latest_files_are_kept(bench: Bench) -> None:
    ring = bench.ring(files=2)
    _play(ring, lone_misses(5))
    for _ in range(3):
        bench.reasons.append("signal")
        bench.now.ns += S
        ring.flush_due()
    ring.close()
    assert [path.name[-4:] for path in bench.files()] == ["0003", "0004"]
    assert sum("deleted, as --max-files asks" in line for line in bench.said) == 2


def test_compressed_by_name(bench: Bench) -> None:
    ring = bench.ring("box.rec.gz")
    _play(ring, long_trace(1))
    ring.close()
    (path,) = bench.files()
    assert path.name == "box.rec.20261122T120300Z.0001.gz"
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert read(path) == long_trace(1)


def test_a_place_that_cannot_be_written_is_told_at_once(bench: Bench) -> None:
    with pytest.raises(RecordingError, match="No such file or directory"):
        bench.ring("no/box")
    assert bench.files() == []


def test_a_file_that_cannot_be_written_does_not_stop_it(bench: Bench) -> None:
    place = bench.directory / "place"
    place.mkdir()
    ring = bench.ring("place/box")
    _play(ring, long_trace(1))
    place.rmdir()
    bench.reasons.append("signal")
    ring.flush_due()
    (told,) = bench.said
    assert told.endswith("cannot be written: No such file or directory")
    place.mkdir()
    with pytest.raises(RecordingError, match="not all that was asked for could be written"):
        ring.close()
    (path,) = place.iterdir()
    assert read(path) == long_trace(1)
    ring.close()


def test_a_trace_that_never_began_writes_nothing(bench: Bench) -> None:
    bench.ring().close()
    assert bench.files() == []


# Why it is written


def _update(missed: Miss) -> IncidentUpdate:
    (update,) = updates([header(), missed, end(9999)])
    return update


NO_SOCKET = miss(1, gram("10.0.0.9:9", "10.0.0.2:53"))
REFUSED = miss(1, gram("10.0.0.9:9", "10.0.0.2:53"), sock("10.0.0.1:53"))


def test_an_incident_is_followed_before_the_ring_is_written() -> None:
    now = FakeTime()
    requests = Requests(("local-address",), now)
    assert requests.update(_update(REFUSED)) == ""
    assert requests.due() is None
    now.ns = AFTER_NS
    assert requests.due() == "incident: local-address"
    assert requests.due() is None


def test_other_causes_are_not_asked_for() -> None:
    now = FakeTime()
    requests = Requests(("local-address",), now)
    requests.update(_update(NO_SOCKET))
    now.ns = 10 * AFTER_NS
    assert requests.due() is None
    anything = Requests(("any",), now)
    anything.update(_update(NO_SOCKET))
    now.ns += AFTER_NS
    assert anything.due() == "incident: no-socket"


def test_incidents_all_the_time_do_not_fill_the_disk() -> None:
    now = FakeTime()
    requests = Requests(("any",), now)
    written = []
    for _ in range(600):
        requests.update(_update(NO_SOCKET))
        now.ns += S
        if requests.due():
            written.append(now.ns)
    assert written[0] == AFTER_NS
    assert len(written) == 10
    assert min(b - a for a, b in itertools.pairwise(written)) >= APART_NS


def test_a_repeat_is_no_new_incident() -> None:
    now = FakeTime()
    requests = Requests(("any",), now)
    update = _update(NO_SOCKET)
    requests.update(replace(update, previous=update.incident))
    now.ns = AFTER_NS
    assert requests.due() is None


def test_a_signal_asks_at_once() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    requests = Requests(())
    requests.install()
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert requests.due() == "signal"
    assert requests.due() is None
