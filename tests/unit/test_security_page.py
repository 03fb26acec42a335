"""docs/security.md names tests, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def test_each_test_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (TOP / "docs/security.md").read_text()))
    sources = [path.read_text() for path in TOP.glob("tests/*/test_*.py")]
    there = set(re.findall(r"^def (test_\w+)", "\n".join(sources), re.MULTILINE))
    assert len(named) > 30
    assert named - there == set()
