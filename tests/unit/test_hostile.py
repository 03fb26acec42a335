"""Recordings that lie: whatever a field holds, a replay shows it or refuses it, in one piece."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.samples import EVENTS
from tests.unit import scenes
from tracer.cli.replay import ReplayOptions, replay
from tracer.errors import UdptraceError
from tracer.recording import codec

BODIES = [json.loads(codec.encode(event)) for event in (*scenes.run_b(), *EVENTS[1:])]

NUMBERS = (0, 1, -1, 7, 255, 65536, 10**18, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1)
WORDS = ("", "x", "::1", "1.2.3.4", "999.1.1.1", "::ffff:1.2.3.4", "a" * 5000, "\n")
DANGEROUS = ("\x1b[2J", "\u202e", "\x9b31m", "\r")
"""What would clear, reorder or overwrite a terminal's lines."""


def changed(value: Any, random: Random) -> Any:
    """The value with one leaf of it replaced, most often by something of its own type."""
    if isinstance(value, dict) and value:
        key = random.choice(list(value))
        return {**value, key: changed(value[key], random)}
    if isinstance(value, list) and value:
        at = random.randrange(len(value))
        longer = [*value[:at], changed(value[at], random), *value[at + 1 :]]
        return random.choice([[], longer, value * 3])
    if isinstance(value, bool) or value is None:
        return random.choice([True, False, None, 1, "x"])
    if isinstance(value, int):
        return random.choice(NUMBERS)
    if isinstance(value, str) and value.isdigit():
        return str(random.choice(NUMBERS))
    return random.choice(WORDS + DANGEROUS)


def lying_recording(random: Random) -> bytes:
    bodies = [b for b in BODIES if random.random() > 0.05]
    if random.random() < 0.2:
        bodies[1:] = random.sample(bodies[1:], len(bodies) - 1)
    for at, body in enumerate(bodies):
        while random.random() < 0.3:
            body = changed(body, random)
        bodies[at] = body
    return "".join(json.dumps(body) + "\n" for body in bodies).encode()


@pytest.mark.parametrize("seed", range(150))
def test_a_lying_recording(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lies.jsonl"
    path.write_bytes(lying_recording(Random(seed)))
    for output_format in ("text", "json"):
        options = ReplayOptions((str(path),), output_format=output_format)
        with suppress(UdptraceError):
            replay(options)
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            assert not any(danger in text for danger in DANGEROUS)
        if output_format == "json":
            for line in shown.out.splitlines():
                json.loads(line)
