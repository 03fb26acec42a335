"""The documentation keeps up with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.unit.build import counters, end
from tests.unit.test_render_jsonl import stream
from tracer.doctor import system
from tracer.kernel.probes import PROBES
from tracer.recording import codec

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_kind_of_event_is_documented() -> None:
    text = (DOCS / "recording.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(codec.KINDS)
    assert f"is {codec.FORMAT}." in text
    assert f"at most {codec.MAX_LINE >> 20} MiB" in text


def test_every_field_of_the_json_stream_is_documented() -> None:
    text = (DOCS / "incident.md").read_text()
    for golden in (DOCS.parent / "tests/golden").glob("run-*.jsonl"):
        for line in golden.read_text().splitlines():
            for name in _names(json.loads(line)):
                assert f"`{name}`" in text, (golden.name, name)


def test_every_field_of_a_counters_line_is_documented() -> None:
    text = (DOCS / "incident.md").read_text()
    printed = stream(counters(1, UdpInErrors=1), counters(2, UdpInErrors=2), end(9))
    line = json.loads(printed.splitlines()[0])
    assert line["kind"] == "counters"
    for name in _names(line):
        assert f"`{name}`" in text, name


def test_every_finding_of_the_doctor_is_documented() -> None:
    text = (DOCS / "doctor.md").read_text()
    functions = {probe.symbols[0] for probe in PROBES}
    for golden in (DOCS.parent / "tests/golden").glob("doctor-*.jsonl"):
        for line in golden.read_text().splitlines():
            value = json.loads(line)
            assert all(f"`{name}`" in text for name in value.keys() - {"facts"}), value
            if value["kind"] == "finding" and value["name"].isprintable():
                assert value["name"] in functions or f"`{value['name']}`" in text, value["name"]
    for name in ("memlock", *(check().name for check in system.CHECKS)):
        assert f"`{name}`" in text, name


def _names(value: object) -> set[str]:
    """All keys of a JSON value, however deep; `kind` and counters' own names aside."""
    if isinstance(value, list):
        return set().union(*map(_names, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    inner = [_names(item) for name, item in value.items() if name not in ("losses", "forgotten")]
    return (set(value) - {"kind"}).union(*inner)
