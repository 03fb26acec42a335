"""Real recordings of every format version, read for ever: what a replay of each shows.

Each was taken by `scripts/demo` in the VM; `netcat-part` is made of `netcat`, as the file that a
rotation would have begun before its first miss, and shows the same incidents. A better linker may
show more: then the expected texts are made anew and the difference is read; the recordings
themselves are never touched.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tracer.cli.main import udptrace

RECORDINGS = sorted((Path(__file__).resolve().parents[1] / "recordings").glob("v*/*.udptrace"))


def test_there_are_some() -> None:
    assert RECORDINGS


@pytest.mark.parametrize(
    "recording", RECORDINGS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
@pytest.mark.parametrize(("output", "suffix"), [("text", ".txt"), ("json", ".jsonl")])
def test_a_replay_shows_what_it_showed(recording: Path, output: str, suffix: str) -> None:
    done = CliRunner().invoke(udptrace, ["replay", "-f", output, str(recording)])
    assert done.exit_code == 0, done.output
    assert done.stdout == recording.with_suffix(suffix).read_text()
