"""docs/stream.schema.json describes every line that udptrace prints, and no other."""

from __future__ import annotations

import copy
import json
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tests.samples import EVENTS
from tests.unit.build import counters, end, sock
from tests.unit.listed import group, listed
from tests.unit.test_render_jsonl import stream
from tests.unit.test_top import last_interval
from tracer.causes import Cause
from tracer.cli.main import udptrace
from tracer.events import Header
from tracer.incident import SCHEMA, IcmpStatus
from tracer.parts import Source
from tracer.recording import codec
from tracer.render.sockets import jsonl as socket_lines
from tracer.render.top import jsonl as top_lines
from tracer.states.model import WHAT
from tracer.top.rows import rows

ROOT = Path(__file__).resolve().parents[2]
OPEN: dict[str, Any] = json.loads((ROOT / "docs/stream.schema.json").read_text())


def closed(value: Any) -> Any:
    """The schema with no field but those it names: a reader's has to let new ones pass."""
    if isinstance(value, list):
        return [closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: closed(one) for name, one in value.items()}
    return {"additionalProperties": False, **inner} if "properties" in value else inner


STRICT = Draft202012Validator(closed(OPEN))
RECORDING = str(ROOT / "tests/recordings/v1/netcat.udptrace")


def printed(*arguments: str) -> str:
    """What a command prints on standard output."""
    return CliRunner().invoke(udptrace, arguments).stdout


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Lines of every kind: the expected outputs, and what they lack."""
    every = tmp_path_factory.mktemp("recording") / "every"
    events = [replace(e, following=("web",)) if isinstance(e, Header) else e for e in EVENTS]
    every.write_bytes(b"".join(map(codec.encode, events)))
    part = RECORDING.replace("netcat", "netcat-part")
    interval = last_interval()
    texts = [path.read_text() for path in sorted(ROOT.glob("tests/**/*.jsonl"))]
    texts += [
        printed("replay", "-f", "json", str(every)),
        printed("states", "-N", "all", "-f", "json", str(every)),
        printed("report", "-f", "json", str(every)),
        printed("export", "--to", "json", str(every)),
        printed("diff", "-f", "json", part, RECORDING),
        printed("check", "-f", "json", "127.0.0.1:4000", "127.0.0.1:9"),
        stream(counters(1, UdpInErrors=1), counters(2, UdpInErrors=2), end(9)),
        top_lines(interval, "flow", rows(interval, "flow", "misses")),
        *socket_lines([listed(sock("0.0.0.0:53"), groups=(group("239.1.1.1"),))]),
        *socket_lines([listed(sock("[::]:53"))]),
    ]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(OPEN)


def test_every_line_is_as_the_schema_says(lines: list[Any]) -> None:
    assert len(lines) > 100
    for line in lines:
        error = next(STRICT.iter_errors(line), None)
        assert error is None, (line["kind"], [one.message for one in error.context or ()][:5], line)


def kinds() -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds of line, with what each has to be."""
    for one in OPEN["oneOf"]:
        described = OPEN["$defs"][one["$ref"].rpartition("/")[2]]
        yield described["properties"]["kind"]["const"], described


def test_every_kind_is_seen_and_has_the_schemas_number(lines: list[Any]) -> None:
    assert {line["kind"] for line in lines} == {kind for kind, _ in kinds()}
    for _, described in kinds():
        assert described["properties"]["schema"] == {"const": SCHEMA}


def test_every_kind_is_described(lines: list[Any]) -> None:
    pages = "\n".join(path.read_text() for path in ROOT.glob("docs/*.md"))
    for kind, _ in kinds():
        assert f"`{kind}`" in pages, kind


def test_the_words_are_the_codes() -> None:
    definitions = OPEN["$defs"]
    assert definitions["cause"]["enum"] == [cause.value for cause in Cause]
    assert definitions["icmp"]["properties"]["status"]["enum"] == list(typing.get_args(IcmpStatus))
    sources = [*typing.get_args(Source), None]
    assert definitions["set_by"]["properties"]["source"]["enum"] == sources
    assert definitions["transition"]["properties"]["what"]["enum"] == list(WHAT)


def test_a_reader_lets_new_fields_pass_but_no_wrong_ones(lines: list[Any]) -> None:
    reader = Draft202012Validator(OPEN)
    incident = copy.deepcopy(next(line for line in lines if line["kind"] == "incident"))
    incident["netns"]["new"] = incident["new"] = 1
    assert reader.is_valid(incident)
    assert not STRICT.is_valid(incident)
    for wrong in ({"cause": "bad"}, {"time": "now"}, {"schema": 2}, {"count": 0}):
        assert not reader.is_valid({**incident, **wrong}), wrong
    del incident["cause"]
    assert not reader.is_valid(incident)
