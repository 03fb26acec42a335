"""The quick decoder: whatever it takes, the careful one takes alike; the rest it leaves alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import EVENTS, MISS
from tests.unit.test_codec import ANY_JSON
from tracer.events import Event
from tracer.recording import codec
from tracer.recording.codec import CodecError, Decoded
from tracer.recording.quick import UNSURE, is_tame, quick


@pytest.fixture(scope="module", autouse=True)
def _learned() -> None:
    """All that the samples can teach."""
    for event in EVENTS:
        carefully(codec.encode(event))


def carefully(line: bytes) -> Decoded | str:
    """What the decoding field by field makes of a line: the event, or why there is none."""
    with mock.patch.object(codec, "is_tame", return_value=False):
        return _decoded(line)


def _decoded(line: bytes) -> Decoded | str:
    try:
        return codec.decode(line)
    except CodecError as error:
        return str(error)


def _body(event: Event) -> dict[str, Any]:
    body = json.loads(codec.encode(event))
    assert isinstance(body, dict)
    assert body.pop("kind") == event.kind
    return body


def _quickly(event: Event, body: dict[str, Any]) -> Any:
    cls: Any = type(event)
    return quick(cls)(body)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.kind}-{event.time}")
def test_what_was_right_before_is_decoded(event: Event) -> None:
    assert _quickly(event, _body(event)) == event


@given(st.sampled_from(EVENTS), st.data())
def test_a_field_of_any_json_is_the_same_to_both(event: Event, data: st.DataObject) -> None:
    body = json.loads(codec.encode(event))
    inner, where = body, event.kind
    while dicts := [key for key, value in inner.items() if isinstance(value, dict)]:
        if not data.draw(st.booleans()):
            break
        where = data.draw(st.sampled_from(dicts))
        inner = inner[where]
    inner[data.draw(st.sampled_from(list(inner)))] = data.draw(ANY_JSON)
    line = json.dumps(body, separators=(",", ":")).encode()
    # Twice, since the careful decoder teaches the quick one what it takes.
    assert [carefully(line), _decoded(line)] == [_decoded(line), carefully(line)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time", 1 << 64),
        ("time", True),
        ("caller", "\ud800"),
        ("netns_cookie", "18446744073709551616"),
        ("netns_cookie", "seven"),
        ("colour", "red"),
        ("walk", None),
    ],
)
def test_types_alone_do_not_suffice(name: str, value: object) -> None:
    line = json.dumps({**_body(MISS), "kind": "miss", name: value}).encode()
    assert _decoded(line) == carefully(line)


def test_a_word_that_is_none_of_a_field_s_is_left_to_the_other() -> None:
    body = _body(MISS)
    body["datagram"]["family"] = "ipx"
    with pytest.raises(UNSURE):
        _quickly(MISS, body)


def test_elements_of_an_array_are_looked_at() -> None:
    header = next(event for event in EVENTS if event.kind == "header")
    for name, value in (("argv", [1]), ("targets", ["1"]), ("missing", [["one"]])):
        with pytest.raises(UNSURE):
            _quickly(header, {**_body(header), name: value})


def test_a_field_that_is_left_to_its_default_is_left_to_the_other() -> None:
    body = _body(MISS)
    last = dataclasses.fields(MISS)[-1].name
    del body[last]
    with pytest.raises(UNSURE):
        _quickly(MISS, body)


@pytest.mark.parametrize(
    ("line", "tame"),
    [
        (b'{"time":999999999999999999}', True),
        (b'{"time":1000000000000000000}', False),
        (b'{"name":"\\ud800"}', False),
        (b'{"name":"\xc3\xa9"}', True),
    ],
)
def test_tame(line: bytes, tame: bool) -> None:
    assert is_tame(line) is tame
