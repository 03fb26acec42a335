"""Writing recordings: private, crash-safe to a second, and one clear failure."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.samples import EVENTS
from tests.unit.recorded import FakeTime
from tracer.events import Tick
from tracer.recording import codec
from tracer.recording.errors import RecordingError
from tracer.recording.reader import Reader
from tracer.recording.writer import FLUSH_NS, Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.jsonl"


def _write_all(path: Path) -> None:
    writer = Writer(str(path))
    for event in EVENTS:
        writer.write(event)
    writer.close()


def _refused(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        Writer(str(path))
    return str(caught.value)


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    _write_all(path)
    with Reader(str(path)) as reader:
        assert list(reader) == list(EVENTS)
        assert reader.problems() == []
    assert path.stat().st_mode & 0o7777 == 0o600


def test_gz_is_gzip_for_others_too(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    _write_all(path)
    assert gzip.decompress(path.read_bytes()).count(b"\n") == len(EVENTS)


@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_flushed_after_a_second(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    now = FakeTime()
    writer = Writer(str(path), now)
    for event in EVENTS[:3]:
        writer.write(event)
    writer.flush_due()
    assert path.stat().st_size == 0
    now.ns += FLUSH_NS
    writer.flush_due()
    with Reader(str(path)) as reader:  # what a kill -9 would leave now
        assert list(reader) == list(EVENTS[:3])
    writer.write(EVENTS[3])
    size = path.stat().st_size
    now.ns += FLUSH_NS - 1
    writer.flush_due()
    assert path.stat().st_size == size
    writer.close()


def test_a_burst_is_not_kept_in_memory(path: Path) -> None:
    writer = Writer(str(path), FakeTime())
    for number in range(50_000):
        writer.write(Tick(number))
    assert path.stat().st_size > 0
    writer.close()


def test_an_existing_file_is_overwritten_and_made_private(path: Path) -> None:
    path.write_text("x" * 100_000)
    path.chmod(0o644)
    _write_all(path)
    with Reader(str(path)) as reader:
        assert list(reader) == list(EVENTS)
    assert path.stat().st_mode & 0o7777 == 0o600


def test_an_existing_file_survives_a_trace_that_never_started(path: Path) -> None:
    path.write_text("evidence")
    Writer(str(path)).close()
    assert path.read_text() == "evidence"


def test_a_new_file_of_a_trace_that_never_started_is_removed(path: Path) -> None:
    Writer(str(path)).close()
    assert not path.exists()


def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    assert _refused(path) == (
        f"{path}: cannot be written: it is a symbolic link; name the file itself"
    )
    path.unlink()
    path.symlink_to(tmp_path / "dangling")
    assert "symbolic link" in _refused(path)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "dangling").exists()


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "trace"
    assert _refused(missing) == f"{missing}: cannot be written: No such file or directory"
    assert _refused(tmp_path) == f"{tmp_path}: cannot be written: Is a directory"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "pipe without a reader" in _refused(fifo)


def test_two_writers_of_one_file(path: Path) -> None:
    first = Writer(str(path))
    assert _refused(path) == f"{path}: another udptrace is writing it"
    first.write(EVENTS[0])
    first.close()
    Writer(str(path)).close()


def test_a_full_disk_fails_once_with_one_line() -> None:
    writer = Writer("/dev/full")
    writer.write(EVENTS[0])
    with pytest.raises(RecordingError) as caught:
        writer.flush()
    assert str(caught.value) == "/dev/full: cannot be written: No space left on device"
    assert writer.closed
    writer.write(EVENTS[1])
    writer.flush_due()
    writer.close()


def test_a_deleted_file_is_noticed(path: Path) -> None:
    writer = Writer(str(path))
    writer.write(EVENTS[0])
    path.unlink()
    with pytest.raises(RecordingError, match="was deleted while it was being written"):
        writer.flush()
    assert writer.closed


def test_a_failure_when_closing_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(str(path))
    writer.write(EVENTS[0])
    real: Callable[[int], None] = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tracer.recording.writer.os.close", close)
    with pytest.raises(RecordingError, match="Input/output error"):
        writer.close()


def test_a_killed_gzip_trace_is_readable_up_to_its_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "trace.gz"
    writer = Writer(str(path))
    for event in EVENTS[:5]:
        writer.write(event)
    writer.flush()
    raw = path.read_bytes()
    assert zlib.decompressobj(31).decompress(raw).count(b"\n") == 5
    with Reader(str(path)) as reader:
        assert list(reader) == list(EVENTS[:5])
        assert len(reader.problems()) == 2
    writer.close()


def test_every_flush_is_synced_and_a_failed_sync_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("tracer.recording.sync.os.fdatasync", synced.append)
    writer = Writer(str(path))
    writer.write(EVENTS[0])
    writer.close()
    assert synced

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tracer.recording.sync.os.fdatasync", broken)
    writer = Writer(str(path))
    writer.write(EVENTS[0])
    with pytest.raises(RecordingError, match="Input/output error"):
        writer.close()
    assert writer.closed


def test_a_link_that_anybody_could_have_put_on_the_way_is_not_followed(tmp_path: Path) -> None:
    public, private = tmp_path / "public", tmp_path / "private"
    public.mkdir()
    private.mkdir()
    public.chmod(0o1777)
    (public / "way").symlink_to(private)
    (private / "way").symlink_to("../private")
    for path in (public / "way" / "trace", private / "way" / ".." / "public" / "way" / "trace"):
        assert _refused(path) == (
            f"{path}: cannot be written: `way` on the way is a symbolic link in a directory that"
            " everybody may write"
        )
    _write_all(private / "way" / "trace")
    assert {entry.name for entry in private.iterdir()} == {"way", "trace"}


@pytest.mark.parametrize("target", ["loop", "/", "no/where"])
def test_other_ways_that_lead_nowhere(tmp_path: Path, target: str) -> None:
    (tmp_path / "loop").symlink_to(target)
    assert "cannot be written: " in _refused(tmp_path / "loop" / "no" / "trace")


def test_a_file_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "trace"
    assert _refused(path) == f"{path}: cannot be written: Not a directory"


def test_a_file_with_two_names_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    os.link(tmp_path / "theirs", path)
    assert "it may be another user's file" in _refused(path)
    assert path.read_text() == "precious"


def test_another_user_s_file_where_everybody_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o1777)
    path = public / "trace"
    path.write_text("planted")
    monkeypatch.setattr("tracer.recording.target.os.geteuid", lambda: path.stat().st_uid + 1)
    assert "it may be another user's file" in _refused(path)
    public.chmod(0o755)
    _write_all(path)


def test_lines_are_passed_on_as_they_are(path: Path, tmp_path: Path) -> None:
    """What a newer udptrace has written outlives a rewrite by this one."""
    lines = [codec.encode(event) for event in EVENTS]
    lines[2:2] = [b'{"kind":"weather","sky":["blue"]}\n', lines[2][:-2] + b',"mood":1}\n']
    lines.insert(3, b"damaged\n")
    path.write_bytes(b"".join(lines))
    writer = Writer(str(tmp_path / "copy.gz"))
    with Reader(str(path)) as reader:
        for line, _ in reader.records():
            writer.write_line(line + b"\n")
    writer.close()
    assert gzip.decompress((tmp_path / "copy.gz").read_bytes()) == path.read_bytes()
    assert reader.unknown == {"weather": 1, "netns.mood": 1}
