"""The documentation keeps up with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.unit.build import counters, end
from tests.unit.test_render_jsonl import stream
from tracer.doctor import system
from tracer.export.csv import COLUMNS
from tracer.export.finished import LIMIT as FINISHED
from tracer.kernel.probes import PROBES
from tracer.recording import codec
from tracer.report.groups import GROUPS, SAMPLES
from tracer.report.hosts import LIMIT as HALVES

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


def test_every_field_of_a_report_is_documented() -> None:
    text = (DOCS / "report.md").read_text() + (DOCS / "incident.md").read_text()
    lines = (DOCS.parent / "tests/golden/report/netcat.jsonl").read_text().splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {"report", "group", "incident"}
    for line in lines:
        for name in _names(json.loads(line)) - {"remote-address", "local-address", "closed"}:
            assert f"`{name}`" in text, name


def test_every_column_of_an_export_is_documented() -> None:
    text = (DOCS / "export.md").read_text()
    named = {
        name
        for row in re.findall(r"^\| (`\w+`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(COLUMNS)


def test_the_limits_of_a_report_are_documented() -> None:
    text = (DOCS / "report.md").read_text()
    assert f"At most {GROUPS} groups" in text
    assert f"first {SAMPLES} incidents in full" in text
    assert f"latest {HALVES} incidents" in text
    assert f"At most {FINISHED} incidents" in (DOCS / "export.md").read_text()


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
