"""Recordings in tests: a time that moves when told to, long traces, and what a replay prints."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit import scenes
from tests.unit.build import at, end, header, miss, sock
from tracer.cli.replay import ReplayOptions, replay
from tracer.events import Call, Event, Miss
from tracer.recording import codec
from tracer.recording.reader import Reader
from tracer.timefmt import Anchor

ROUND_NS = 60_000_000_000


class FakeTime:
    """Monotonic nanoseconds that move when told to, and by ``step`` when they are asked for."""

    def __init__(self) -> None:
        self.ns = 0
        self.step = 0

    def __call__(self) -> int:
        self.ns += self.step
        return self.ns


def long_trace(rounds: int = 30) -> list[Event]:
    """The seed's first incident over and over, each time with another peer and new sockets."""
    trace: list[Event] = [header()]
    for number in range(rounds):
        client = f"172.17.{number // 250}.{number % 250 + 3}:45609"
        for event in scenes.run_a()[1:-1]:
            line = codec.encode(event).replace(b"172.17.0.2:45609", client.encode())
            line = line.replace(b'"172.17.0.2"', f'"{client.partition(":")[0]}"'.encode())
            line = line.replace(b'"inode":5001', b'"inode":%d' % (5001 + number))
            line = line.replace(b'"inode":6001', b'"inode":%d' % (9001 + number))
            moved = codec.decode(line).event
            assert not isinstance(moved, codec.Unknown)
            trace.append(_later(moved, number * ROUND_NS))
    return [*trace, end(rounds * ROUND_NS / 1e6 + 1000)]


def _later(event: Event, by: int) -> Event:
    """The event so much later, with every time in it that is one of the monotonic clock."""
    moved = replace(event, time=event.time + by)
    if isinstance(moved, Miss):
        return replace(moved, since=moved.since + by)
    if isinstance(moved, Call):
        return replace(moved, entered=moved.entered + by)
    return moved


def lone_misses(number: int, step_ms: float = 100) -> list[Event]:
    """Misses of datagrams that nobody waits for, a header before them and no end."""
    view = sock("10.0.0.1:53", "10.0.0.8:1", name="")
    missed = scenes.run_a()[-4]
    assert isinstance(missed, Miss)
    return [
        header(),
        *(
            miss(n * step_ms, replace(missed.datagram, sport=n % 60_000 + 1), view)
            for n in range(number)
        ),
    ]


def write(path: Path, events: Iterable[Event]) -> Path:
    """A recording of these events."""
    path.write_bytes(b"".join(map(codec.encode, events)))
    return path


def replayed(*paths: Path, form: str = "json") -> str:
    """What a replay of the parts of one trace prints."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
        replay(ReplayOptions(tuple(map(str, paths)), output_format=form))
    return out.getvalue()


def read(path: Path) -> list[Event]:
    """The events of a recording that is whole."""
    with Reader(str(path)) as reader:
        events = list(reader)
        assert reader.problems() == []
    return events


def incidents_by_id(printed: str) -> dict[str, Any]:
    """The latest version of each incident in what was printed as JSON."""
    found = map(json.loads, printed.splitlines())
    return {value["id"]: value for value in found if value["kind"] == "incident"}


def utc_at(ms: float) -> int:
    """Seconds since 1970 of the tests' header and so many ms."""
    return Anchor.of(header()).utc(at(ms)) // 1_000_000_000
