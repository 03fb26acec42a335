"""Cut and damaged recordings: whatever is left is shown; no traceback, no hang, bounded memory.

UDPTRACE_FUZZ=100000 damages so many instead of the few of each run, and cuts at every byte.
"""

from __future__ import annotations

import gzip
import io
import os
import resource
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.samples import EVENTS
from tests.unit import scenes
from tests.unit.command import ENVIRONMENT, REAL
from tests.unit.test_state import carried
from tracer.cli.view import Showing, make_presenter, make_transitions
from tracer.events import Event, Header
from tracer.present import Presenter
from tracer.recording import codec
from tracer.recording.errors import RecordingError
from tracer.recording.reader import Reader
from tracer.select import Selection, selection_of
from tracer.states.consume import Transitions

FUZZ = int(os.environ.get("UDPTRACE_FUZZ", "0"))
DAMAGED = FUZZ or 600
STEP = 1 if FUZZ else 29
"""Bytes from one cut to the next: a prime, so that every place in a line is met."""

TAIL = 4 << 10
BATCH = 100
MEMORY_BYTES = 400 << 20


def _encoded(events: list[Event]) -> bytes:
    return b"".join(map(codec.encode, events))


WHOLE = {
    "seed": _encoded(scenes.run_b()),
    "every kind": _encoded([*scenes.run_a()[:-1], *EVENTS[1:]]),
    "part": _encoded([*carried(scenes.prelude()), *scenes.run_b()[-6:]]),
}


def flushed_gzip(lines: bytes, every: int = 7) -> bytes:
    """Compressed as a trace writes it, with a flush after some lines."""
    packer, out = zlib.compressobj(wbits=31), b""
    for number, line in enumerate(lines.splitlines(keepends=True)):
        out += packer.compress(line)
        if number % every == 0:
            out += packer.flush(zlib.Z_SYNC_FLUSH)
    return out + packer.flush()


def show(path: Path) -> tuple[int, list[str]]:
    """Feed a recording to whoever shows one, in both forms; how many events came, and the
    problems."""
    count, shown = 0, io.StringIO()
    try:
        with Reader(str(path)) as reader:
            forms = ("text", "json")
            presenters: list[Presenter | Transitions] = [
                *(_presenter(form, reader.header, shown) for form in forms),
                *(_transitions(form, reader.header, shown) for form in forms),
            ]
            for event in reader:
                count += 1
                for presenter in presenters:
                    presenter.feed(event)
            for presenter in presenters:
                presenter.finish()
            return count, reader.problems()
    except RecordingError as error:
        return count, str(error).splitlines()


def _presenter(form: str, header: Header, shown: io.StringIO) -> Presenter:
    showing = _showing(form, header, shown, Selection())
    return make_presenter(showing, closed_window_ns=header.closed_window_ns, limit=None)


def _transitions(form: str, header: Header, shown: io.StringIO) -> Transitions:
    selection = selection_of([("host", "10.0.0.0/8")])
    return make_transitions(_showing(form, header, shown, selection))


def _showing(form: str, header: Header, shown: io.StringIO, selection: Selection) -> Showing:
    return Showing(
        output_format=form,
        color="never",
        write=lambda text: shown.writelines([text]),
        targets=(),
        following=False,
        settle_ns=header.settle_ns,
        selection=selection,
    )


# Cut


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_cut_anywhere_in_its_last_4_kib(tmp_path: Path, packed: bool) -> None:
    lines = WHOLE["every kind"]
    whole = flushed_gzip(lines) if packed else lines
    path = tmp_path / "cut"
    path.write_bytes(whole)
    most, problems = show(path)
    assert (most, problems) == (lines.count(b"\n"), [])
    for cut in range(1, min(TAIL, len(whole)), STEP):
        path.write_bytes(whole[:-cut])
        count, problems = show(path)
        assert count <= most
        assert problems or whole[:-cut].endswith(b"}\n") or packed
        if not packed:
            assert count == whole[:-cut].count(b"\n")


# Damaged


def damaged(whole: bytes, random: Random) -> bytes:
    """Bytes changed, taken out, doubled or put elsewhere, a little or a lot."""
    data = bytearray(whole)
    for _ in range(random.choice((1, 1, 2, 5, 40))):
        at = random.randrange(len(data) + 1)
        size = random.choice((1, 1, 8, 200, 3000))
        kind = random.randrange(6)
        if kind == 0:
            data[at : at + size] = random.randbytes(min(size, len(data) - at))
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at : at + size] = bytes(min(size, len(data) - at))
        elif kind == 4:
            data[at:at] = random.choice(NASTY)
        else:
            _another_digit(data, at, random)
    return bytes(data)


NASTY = (
    b"\n", b'"', b"{", b"[[[[[[[[", b"\\ud800", b"\xff\xfe", b"\0", b"-", b"1e999", b"null",
    b"9" * 30, b'"kind":"header",', b'{"kind":"end"}\n', b"\x1f\x8b\x08\0", b"NaN",
)  # fmt: skip


def _another_digit(data: bytearray, at: int, random: Random) -> None:
    """Change a number where there is one: the line stays one, and means something else."""
    for place in range(at, min(at + 200, len(data))):
        if chr(data[place]).isdigit():
            data[place] = random.choice(b"0123456789")
            return


@pytest.mark.parametrize("batch", range((DAMAGED + BATCH - 1) // BATCH))
def test_damaged_at_random(batch: int, tmp_path: Path) -> None:
    random = Random(batch)
    path = tmp_path / "damaged"
    for number in range(BATCH):
        whole = WHOLE[random.choice(list(WHOLE))]
        if random.random() < 0.4:
            # Before compression, where it goes deep, or after it.
            inside = random.random() < 0.5
            data = gzip.compress(damaged(whole, random)) if inside else flushed_gzip(whole)
            data = data if inside else damaged(data, random)
        else:
            data = damaged(whole, random)
        path.write_bytes(data)
        try:
            show(path)
        except Exception as error:
            raise AssertionError(f"batch {batch}, number {number}") from error


# What would take all memory, or all time


HEADER = codec.encode(EVENTS[0])
TICK = codec.encode(EVENTS[-2])
MIB = 1 << 20


def bomb(piece: bytes, times: int, first: bytes = HEADER) -> bytes:
    """A gzip file of a piece so many times: one that grows by a thousand."""
    return gzip.compress(first) + gzip.compress(piece) * times


BOMBS: dict[str, Callable[[], bytes]] = {
    "one line without an end": lambda: bomb(b"x" * MIB, 3000),
    "a header without an end": lambda: bomb(b"x" * MIB, 3000, b'{"kind":"header","tool":"'),
    "empty lines": lambda: bomb(b"\n" * MIB, 3000),
    "lines of spaces": lambda: bomb((b" " * 4000 + b"\n") * 250, 3000),
    "ticks": lambda: bomb(TICK * 40_000, 3000),
    "lines as long as may be": lambda: bomb(
        b'{"kind":"owners","time":1,"inode":1,"holders":[' + b"[]," * 1_300_000 + b"[]]}\n", 60
    ),
    "deep": lambda: HEADER + b"[" * (4 * MIB - 10) + b"\n",
    "a long number": lambda: HEADER + b'{"kind":"tick","time":' + b"7" * (3 * MIB) + b"}\n",
    "one line without an end, plain": lambda: HEADER + b"y" * (64 * MIB),
}


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_more_than_there_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    done = subprocess.run(
        [*REAL, "replay", "-f", "json", str(path)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=_bounded,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert str(path) in done.stderr
