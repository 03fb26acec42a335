"""Recordings in several files: each complete by itself, all together the trace."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from tests.unit.build import expired
from tests.unit.recorded import (
    FakeTime,
    incidents_by_id,
    lone_misses,
    long_trace,
    read,
    replayed,
    write,
)
from tracer.errors import UsageError
from tracer.events import Carried, End, Event, Header, MissCount
from tracer.recording.errors import RecordingError
from tracer.recording.joined import Joined, traces
from tracer.recording.rotation import OVERLAP_NS, Rotation

MAX = 20_000
TRACE = long_trace()


def _rotated(
    path: Path, events: list[Event], limit: int = MAX, files: int | None = None
) -> list[Path]:
    rotation = Rotation(str(path), limit, files, now=(now := FakeTime()))
    _write_all(rotation, events, now)
    rotation.close()
    return _parts(path)


def _write_all(rotation: Rotation, events: list[Event], now: FakeTime | None = None) -> None:
    for event in events:
        rotation.write(event)
        if now:
            now.ns = event.time
        rotation.flush_due()


def _parts(path: Path) -> list[Path]:
    stem = path.name.removesuffix(".gz")
    return sorted(path.parent.glob(f"{stem}*"), key=_number)


def _number(path: Path) -> int:
    tail = path.name.removesuffix(".gz").rpartition(".")[2]
    return int(tail) if tail.isdigit() else 0


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write(tmp_path / "whole", TRACE)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return _rotated(tmp_path / "part", TRACE)


def test_the_parts_replay_as_the_whole(whole: Path, parts: list[Path]) -> None:
    assert len(parts) > 4
    assert replayed(*parts) == replayed(whole)
    assert replayed(*parts, form="text") == replayed(whole, form="text")


def test_compressed_parts_replay_as_the_whole(whole: Path, tmp_path: Path) -> None:
    parts = _rotated(tmp_path / "part.rec.gz", TRACE, limit=2000)
    assert [part.name for part in parts][:3] == ["part.rec.gz", "part.rec.1.gz", "part.rec.2.gz"]
    assert replayed(*parts) == replayed(whole)
    for part in parts:
        gzip.decompress(part.read_bytes())


def test_each_part_alone_judges_its_incidents_as_the_whole(whole: Path, parts: list[Path]) -> None:
    wanted = incidents_by_id(replayed(whole))
    found: dict[str, dict[str, object]] = {}
    for part in parts:
        for known, incident in incidents_by_id(replayed(part)).items():
            assert incident["cause"] == wanted[known]["cause"]
            if incident == wanted[known]:
                found[known] = incident
    assert found == wanted


def test_each_part_has_its_number_and_says_what_follows(parts: list[Path]) -> None:
    for number, part in enumerate(parts):
        first, *rest = read(part)
        assert isinstance(first, Header)
        assert (first.part, first.carried) == (number, number > 0)
        last = rest[-1]
        assert isinstance(last, End)
        assert (last.reason == "continued") is (part != parts[-1])
        assert part.stat().st_mode & 0o777 == 0o600


def test_half_of_each_part_is_its_own_however_much_is_carried(tmp_path: Path) -> None:
    parts = _rotated(tmp_path / "part", [*lone_misses(500, 100), TRACE[-1]])
    for part in parts[-4:-1]:
        carried, own = part.read_bytes().split(b'{"kind":"carried"')
        assert len(carried) > MAX
        assert len(carried) < len(own) < 2 * len(carried)


def test_a_port_scan_does_not_weigh_on_every_later_part(tmp_path: Path) -> None:
    first, *misses = lone_misses(400, 1000)
    dropped = [expired(n * 1000, (n - 60) * 1000) for n in range(len(misses))]
    counted = [event for both in zip(misses, dropped, strict=True) for event in both]
    *_, last = _rotated(tmp_path / "part", [first, *counted, TRACE[-1]])
    assert sum(isinstance(event, MissCount) for event in read(last)) < 65


def test_the_first_part_ends_before_its_limit(parts: list[Path]) -> None:
    assert MAX * 0.9 < parts[0].stat().st_size < MAX + 200  # its end record


def test_the_last_seconds_are_repeated(tmp_path: Path) -> None:
    first, second, *_ = _rotated(tmp_path / "part", lone_misses(60, 500))
    *before, _ = read(first)
    after = read(second)
    at = next(i for i, event in enumerate(after) if isinstance(event, Carried))
    seam = after[at]
    assert isinstance(seam, Carried)
    assert 2 <= seam.repeated <= OVERLAP_NS // 500_000_000 + 1
    assert after[at + 1 : at + 1 + seam.repeated] == before[-seam.repeated :]
    assert seam.before + seam.repeated == len(before)


def test_only_the_latest_files_are_kept(tmp_path: Path) -> None:
    parts = _rotated(tmp_path / "part", TRACE, files=3)
    assert len(parts) == 3
    first, *_ = read(parts[0])
    assert isinstance(first, Header)
    assert first.part == _number(parts[0]) > 1


def test_a_file_put_in_the_place_of_ours_is_not_deleted(tmp_path: Path) -> None:
    rotation = Rotation(str(tmp_path / "part"), MAX, 2, now=FakeTime())
    _write_all(rotation, TRACE[: len(TRACE) // 2])
    latest = _parts(tmp_path / "part")[-1]
    latest.rename(tmp_path / "kept")
    latest.write_text("precious")
    _write_all(rotation, TRACE[len(TRACE) // 2 :])
    rotation.close()
    assert len(_parts(tmp_path / "part")) == 3
    assert latest.read_text() == "precious"


def test_a_vanished_directory_ends_the_recording_with_one_line(tmp_path: Path) -> None:
    directory = tmp_path / "there"
    directory.mkdir()
    rotation = Rotation(str(directory / "part"), MAX, now=FakeTime())
    rotation.write(TRACE[0])
    rotation.flush_due()
    shutil.rmtree(directory)
    with pytest.raises(RecordingError) as caught:
        _write_all(rotation, TRACE[1:])
    assert str(caught.value).startswith(str(directory / "part"))
    rotation.write(TRACE[1])
    rotation.close()


def test_a_next_file_that_cannot_be_made_ends_this_one_properly(tmp_path: Path) -> None:
    path = tmp_path / "part"
    (tmp_path / "part.1").mkdir()
    rotation = Rotation(str(path), MAX, now=FakeTime())
    with pytest.raises(RecordingError, match=r"part\.1: cannot be written: Is a directory"):
        _write_all(rotation, TRACE)
    rotation.close()
    last = read(path)[-1]
    assert isinstance(last, End)
    assert last.reason == f"failed: {path}.1: cannot be written: Is a directory"


def test_a_disk_that_fills_up_at_the_seam_fails_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation = Rotation(str(tmp_path / "part"), MAX, now=FakeTime())
    write, made = os.write, []

    def full(fd: int, data: bytes) -> int:
        if b'"carried":true' in bytes(data):
            made.append(fd)
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr("tracer.recording.writer.os.write", full)
    with pytest.raises(RecordingError, match=r"part\.1: cannot be written: No space left"):
        _write_all(rotation, TRACE)
    _write_all(rotation, TRACE)
    rotation.close()
    assert len(made) == 1
    assert [part.name for part in _parts(tmp_path / "part")] == ["part", "part.1"]


def test_what_has_no_length_cannot_be_rotated() -> None:
    with pytest.raises(RecordingError, match="/dev/full: not a regular file"):
        Rotation("/dev/full", MAX)


# Reading them


def test_files_are_put_in_the_order_of_their_parts(parts: list[Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other", [*lone_misses(3)[1:]])
    other.write_bytes(write(tmp_path / "x", lone_misses(3)).read_bytes().replace(b"edge-1", b"b"))
    given = [str(path) for path in (parts[2], other, parts[0], parts[1])]
    assert traces(given) == [tuple(map(str, parts[:3])), (str(other),)]


def test_a_gap_begins_another_run(parts: list[Path]) -> None:
    given = [str(path) for path in (*parts[:2], *parts[3:])]
    assert traces(given) == [tuple(given[:2]), tuple(given[2:])]
    with Joined(tuple(given[2:])) as joined:
        list(joined)
    assert joined.problems() == [
        f"{parts[3]}: part 3 of its trace: what came before is in other files"
    ]


def test_one_file_given_twice_is_read_once(whole: Path) -> None:
    assert traces([str(whole), str(whole)]) == [(str(whole),)]


def test_standard_input_stands_alone(whole: Path) -> None:
    assert traces(["-"]) == [("-",)]
    with pytest.raises(UsageError, match="name it alone"):
        traces(["-", str(whole)])


def test_a_part_whose_seam_is_damaged_is_read_all_the_same(parts: list[Path], whole: Path) -> None:
    raw = parts[1].read_bytes()
    parts[1].write_bytes(raw.replace(b'{"kind":"carried"', b'{"kind":"carried'))
    with Joined((str(parts[0]), str(parts[1]))) as joined:
        kinds = [event.kind for event in joined]
    assert "miss" in kinds
    assert "read twice" in " ".join(joined.problems())
    assert incidents_by_id(replayed(*parts)).keys() == incidents_by_id(replayed(whole)).keys()


@pytest.mark.parametrize("repeated", [-1, 10**9, (1 << 63) - 1])
def test_a_lying_seam_is_no_failure(parts: list[Path], repeated: int) -> None:
    raw = parts[1].read_bytes()
    at = raw.index(b'"repeated":') + len(b'"repeated":')
    parts[1].write_bytes(raw[:at] + str(repeated).encode() + raw[raw.index(b",", at) :])
    assert replayed(*parts[:2])


def test_a_part_that_was_cut_off_is_told(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-100])
    with Joined(tuple(map(str, parts))) as joined:
        list(joined)
    assert joined.ended
    assert [p for p in joined.problems() if "cut off" in p and str(parts[1]) in p]
