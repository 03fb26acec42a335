"""The documentation keeps up with the code."""

from __future__ import annotations

import re
from pathlib import Path

from tracer.recording import codec

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_kind_of_event_is_documented() -> None:
    text = (DOCS / "recording.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(codec.KINDS)
    assert f"is {codec.FORMAT}." in text
    assert f"at most {codec.MAX_LINE >> 20} MiB" in text
