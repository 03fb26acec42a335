"""Known traces, word for word: the runs of the seed, and others; GOLDEN=write renews them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.scenes import in_a_container, published, run_a, run_b
from tests.unit.test_render_jsonl import stream
from tests.unit.test_render_text import text
from tracer.events import Event

GOLDEN = Path(__file__).parent.parent / "golden"

RUNS = {"run-a": run_a(), "run-b": run_b(), "published": published(), "container": in_a_container()}


@pytest.mark.parametrize("name", RUNS)
def test_text(name: str) -> None:
    compare(GOLDEN / f"{name}.txt", text(*RUNS[name]))


@pytest.mark.parametrize("name", RUNS)
def test_json(name: str) -> None:
    compare(GOLDEN / f"{name}.jsonl", stream(*RUNS[name]))


@pytest.mark.parametrize("name", RUNS)
def test_text_is_readable_in_80_columns(name: str) -> None:
    events: list[Event] = RUNS[name]
    assert max(len(line) for line in text(*events).splitlines()) <= 80


def compare(expected: Path, printed: str) -> None:
    if os.environ.get("GOLDEN") == "write":
        expected.write_text(printed)
    assert printed == expected.read_text()
