"""The documentation keeps up with the code."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.build import counters, end, sock
from tests.unit.listed import group, listed
from tests.unit.test_render_jsonl import stream
from tests.unit.test_top import last_interval
from tracer import events
from tracer.containers import Container
from tracer.doctor import system
from tracer.export.csv import COLUMNS
from tracer.export.finished import LIMIT as FINISHED
from tracer.kernel.probes import PROBES, STATES
from tracer.recording import codec
from tracer.recording.fields import IDENTIFIERS
from tracer.render.socket_columns import COLUMNS as SOCKET_COLUMNS
from tracer.render.socket_columns import DEFAULT, EXPOSED
from tracer.render.sockets import socket_json
from tracer.render.top import KEYS, jsonl, plain
from tracer.report.groups import GROUPS, SAMPLES
from tracer.report.hosts import LIMIT as HALVES
from tracer.sockets.accepts import BEFORE
from tracer.sockets.accepts import STATES as SOCKET_STATES
from tracer.sockets.model import Need
from tracer.top.consume import NAMESPACES
from tracer.top.rows import rows
from tracer.totals import Limits

DOCS = Path(__file__).resolve().parents[2] / "docs"


RECORDING = (DOCS / "recording-format.md").read_text()

OBJECTS = {
    events.SocketView: "socket view",
    events.Task: "task",
    events.Holder: "holder",
    events.Datagram: "datagram",
    events.Walk: "walk",
    events.ReceivedIcmp: "ICMP",
    events.FourTuple: "four-tuple",
    Container: "container",
}
"""What occurs within events, and is none itself, by the words for it."""


def test_every_kind_of_event_is_documented() -> None:
    lines = RECORDING.partition("## How it is written")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", lines, re.MULTILINE)) == set(codec.KINDS)
    assert f"is {codec.FORMAT}." in RECORDING
    assert f"at most {codec.MAX_LINE >> 20} MiB" in RECORDING


@pytest.mark.parametrize(
    ("title", "cls"),
    [
        *((f"`{kind}`", cls) for kind, cls in codec.KINDS.items()),
        *((words, cls) for cls, words in OBJECTS.items()),
    ],
)
def test_every_field_of_an_event_is_documented(title: str, cls: Any) -> None:
    section = RECORDING.partition(f"### {title}\n")[2].partition("\n##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE)
    hints = typing.get_type_hints(cls)
    assert rows == [
        (
            field.name,
            _type(hints[field.name], field.name)
            + ("" if field.default is dataclasses.MISSING else ", optional"),
        )
        for field in dataclasses.fields(cls)
    ]


def _type(hint: Any, name: str = "") -> str:
    """The words for a field's type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if name in IDENTIFIERS:
        return "decimal string"
    if dataclasses.is_dataclass(hint):
        cls: Any = hint
        return OBJECTS.get(cls) or str(cls.kind)
    if type(None) in inner:
        return " or ".join(_type(one) for one in inner if one is not type(None)) + " or null"
    if origin is typing.Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if origin is tuple:
        words = [_type(one) for one in inner if one is not ...]
        return f"array of {words[0]}" if ... in inner else f"[{', '.join(words)}]"
    return {str: "string", int: "integer", bool: "boolean"}[hint]


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


def test_every_field_and_key_of_top_is_documented() -> None:
    text = (DOCS / "top.md").read_text()
    shown = last_interval()
    lines = jsonl(shown, "flow", rows(shown, "flow", "misses")).splitlines()
    for kind, line in zip(("interval", "top"), map(json.loads, lines), strict=False):
        section = text.partition(f"| field of `{kind}` |")[2].partition("\n\n")[0]
        assert line["kind"] == kind
        documented = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", section, re.M)))
        assert set(documented) == set(line)
    for key in re.findall(r"(\w+) [a-z ]+?(?:  |$)", KEYS):
        assert f"`{key}`" in text
    assert f"```\n{plain(shown, 'flow', rows(shown, 'flow', 'misses')).rstrip()}\n```" in text
    assert f"the figures of {Limits().incidents} flows" in text
    assert f"Of {NAMESPACES} network namespaces" in text


def test_every_column_of_an_export_is_documented() -> None:
    text = (DOCS / "export.md").read_text()
    named = {
        name
        for row in re.findall(r"^\| (`\w+`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(COLUMNS)


def test_every_column_and_field_of_a_listing_is_documented() -> None:
    text = (DOCS / "sockets.md").read_text()
    section = text.partition("## Columns\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`([\w-]+)`", row)] == list(SOCKET_COLUMNS)
    assert f"default is `{','.join(DEFAULT)}`" in section
    assert f"\n`{','.join(EXPOSED)}`" in section
    both = text + (DOCS / "incident.md").read_text()
    for name in _names(socket_json(listed(sock("0.0.0.0:53"), groups=(group("239.1.1.1"),)))):
        assert f"`{name}`" in both, name


def test_the_words_of_a_listing_are_in_its_page() -> None:
    text = (DOCS / "sockets.md").read_text()
    for words in (*SOCKET_STATES.values(), *BEFORE.values()):
        assert words in text, words


def test_the_limits_of_a_report_are_documented() -> None:
    text = (DOCS / "report.md").read_text()
    assert f"At most {GROUPS} groups" in text
    assert f"first {SAMPLES} incidents in full" in text
    assert f"latest {HALVES} incidents" in text
    assert f"At most {FINISHED} incidents" in (DOCS / "export.md").read_text()


def test_what_a_column_of_sockets_looks_up_is_documented() -> None:
    page = (DOCS / "sockets.md").read_text()
    for need, looked_up in (
        (Need.OWNERS, "every descriptor of every process"),
        (Need.CONTAINERS, "the containers in each network namespace"),
        (Need.FACTS, "the kernel's iterator, and BCC for it"),
        (Need.MEMORY, "buffers and drops"),
    ):
        (cell,) = re.findall(rf"^\| {looked_up} \| (.*) \|$", page, re.MULTILINE)
        told = {word for word in re.findall(r"`([\w-]+)`", cell) if not word.startswith("--")}
        assert told == {name for name, column in SOCKET_COLUMNS.items() if need in column.needs}


def test_every_finding_of_the_doctor_is_documented() -> None:
    text = (DOCS / "doctor.md").read_text()
    functions = {probe.symbols[0] for probe in (*PROBES, *STATES)}
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
