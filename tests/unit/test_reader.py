"""Reading recordings: whole, torn, damaged, foreign, newer and hostile."""

from __future__ import annotations

import gzip
import json
import os
import resource
from pathlib import Path

import pytest

from tests.samples import EVENTS, HEADER
from tracer.events import Event
from tracer.recording import codec
from tracer.recording.errors import RecordingError
from tracer.recording.reader import Reader

LINES = tuple(codec.encode(event) for event in EVENTS)


def _read(path: Path) -> tuple[list[Event], list[str]]:
    with Reader(str(path)) as reader:
        return list(reader), reader.problems()


def _refused(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        Reader(str(path))
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.jsonl"


def test_a_whole_recording(path: Path) -> None:
    path.write_bytes(b"".join(LINES))
    assert _read(path) == (list(EVENTS), [])


def test_gzip_by_content_not_by_name(path: Path) -> None:
    path.write_bytes(gzip.compress(b"".join(LINES)))
    assert _read(path) == (list(EVENTS), [])


def test_a_torn_last_line(path: Path) -> None:
    path.write_bytes(b"".join(LINES)[:-5])
    events, problems = _read(path)
    assert events == list(EVENTS[:-1])
    assert problems == [
        f"{path}: the end of the file is cut off: its last line was not read",
        f"{path}: there is no end record: the trace was killed or is still running",
    ]


def test_no_end_record(path: Path) -> None:
    path.write_bytes(b"".join(LINES[:-1]))
    events, problems = _read(path)
    assert events == list(EVENTS[:-1])
    assert problems == [f"{path}: there is no end record: the trace was killed or is still running"]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 30])
def test_a_cut_gzip_stream_gives_what_is_whole(path: Path, cut: int) -> None:
    path.write_bytes(gzip.compress(b"".join(LINES))[:-cut])
    events, problems = _read(path)
    assert events == list(EVENTS[: len(events)])
    assert len(events) >= len(EVENTS) - 3
    assert any("cut off" in problem for problem in problems)


def test_damaged_lines_are_counted_and_skipped(path: Path) -> None:
    lines = list(LINES)
    lines[3] = b"\0" * 100 + b"\n"
    lines[5] = b'{"kind":"tick"}\n'
    path.write_bytes(b"".join(lines))
    events, problems = _read(path)
    assert events == [e for i, e in enumerate(EVENTS) if i not in (3, 5)]
    assert problems == [f"{path}: 2 lines are damaged and skipped (line 4: not JSON)"]


def test_a_line_without_end_in_the_middle_is_skipped(path: Path) -> None:
    long = b'{"kind":"' + b"x" * (2 * codec.MAX_LINE) + b'"}\n'
    path.write_bytes(b"".join([*LINES[:2], long, *LINES[2:]]))
    events, problems = _read(path)
    assert events == list(EVENTS)
    assert problems == [
        f"{path}: 1 line is damaged and skipped (line 3: longer than {codec.MAX_LINE} bytes)"
    ]


def test_a_line_without_end_at_the_end(path: Path) -> None:
    path.write_bytes(b"".join(LINES[:-1]) + b"x" * (3 * codec.MAX_LINE))
    events, problems = _read(path)
    assert events == list(EVENTS[:-1])
    assert "cut off" in problems[0]


def test_what_a_newer_udptrace_added_is_counted(path: Path) -> None:
    tick = b'{"kind":"tick","time":1,"why":"x"}\n'
    path.write_bytes(b"".join([*LINES[:1], b'{"kind":"weather","time":1}\n' * 2, tick, *LINES[1:]]))
    events, problems = _read(path)
    assert len(events) == len(EVENTS) + 1
    assert problems == [
        f"{path}: made by a newer udptrace; not understood here: tick.why (1), weather (2)"
    ]


def test_a_second_recording_is_not_mixed_in(path: Path) -> None:
    path.write_bytes(b"".join(LINES) * 2)
    events, problems = _read(path)
    assert events == list(EVENTS)
    assert problems == [f"{path}: line {len(LINES) + 1}: another recording begins; not read"]


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"no newline at all",
        b"\x7fELF\x02\x01\x01" + b"\0" * 500,
        b"{}\n",
        b'{"kind":"incident","schema":1}\n',
        b'{"kind":"header","tool":"other","format":1}\n',
        gzip.compress(b"hello\n"),
        b"\x1f\x8bnot gzip after all",
        b"a" * (2 * codec.MAX_LINE),
    ],
)
def test_a_foreign_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert _refused(path) == f"{path}: not a recording of udptrace"


def test_an_empty_file(path: Path) -> None:
    path.touch()
    assert _refused(path) == f"{path}: empty, not a recording of udptrace"


def test_a_newer_format_is_refused(path: Path) -> None:
    body = json.loads(LINES[0])
    body["format"] = 2
    path.write_text(json.dumps(body) + "\n")
    assert _refused(path) == (
        f"{path}: recording format 2 is newer than this udptrace reads (1):"
        " use the udptrace that made it, or a newer one"
    )


def test_a_damaged_header(path: Path) -> None:
    body = json.loads(LINES[0])
    del body["boot_id"]
    path.write_text(json.dumps(body) + "\n")
    assert _refused(path) == f"{path}: the header is damaged: header.boot_id: missing"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert _refused(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    missing = tmp_path / "no"
    assert _refused(missing) == f"{missing}: cannot be read: No such file or directory"


def test_permission_denied(path: Path) -> None:
    path.write_bytes(b"".join(LINES))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        assert _refused(path) == f"{path}: cannot be read: Permission denied"
    finally:
        os.seteuid(user)


def test_memory_stays_flat(path: Path) -> None:
    with path.open("wb") as file:
        file.write(codec.encode(HEADER))
        for _ in range(200):
            file.write(b"".join(LINES[1:-1]) * 10)
        file.write(LINES[-1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Reader(str(path)) as reader:
        assert sum(1 for _ in reader) == 2 + 2000 * (len(EVENTS) - 2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10  # KiB


def test_what_is_nothing_but_damage_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracer.recording.reader.MOST_DAMAGED", 10)
    path.write_bytes(b"".join([*LINES[:2], b"x\n" * 9, LINES[2], b"x\n" * 10, *LINES[3:]]))
    events, problems = _read(path)
    assert events == list(EVENTS[:3])
    assert f"{path}: line 22: nothing but damage; the rest was not read" in problems


def test_what_is_compressed_beyond_belief_is_given_up(path: Path) -> None:
    path.write_bytes(gzip.compress(b"".join([LINES[0], LINES[-2] * 400_000, LINES[-1]])))
    events, problems = _read(path)
    assert 0.9 * codec.MAX_LINE < len(events) * len(LINES[-2]) < 2 * codec.MAX_LINE
    assert (
        problems[0] == f"{path}: compressed beyond what a recording can be; the rest was not read"
    )
