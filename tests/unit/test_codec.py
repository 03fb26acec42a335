"""The codec: every event survives, nothing hostile does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import BIG_COOKIE, EVENTS, HEADER, MISS
from tracer.events import Clock, Event, Tick
from tracer.recording import codec
from tracer.recording.codec import CodecError, Unknown
from tracer.recording.fields import INT_MAX

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def _refused(line: bytes) -> str:
    with pytest.raises(CodecError) as caught:
        codec.decode(line)
    return str(caught.value)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.kind}-{event.time}")
def test_every_event_survives(event: Event) -> None:
    line = codec.encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    decoded = codec.decode(line)
    assert decoded.event == event
    assert decoded.extra == {}
    assert codec.encode(decoded.event) == line


@given(st.text(), st.integers(0, INT_MAX))
def test_the_text_is_what_json_makes_of_it(name: str, number: int) -> None:
    datagram = dataclasses.replace(MISS.datagram, ifname=name, length=number)
    miss = dataclasses.replace(MISS, datagram=datagram, netns_cookie=number, caller=name)
    for event in (*EVENTS, miss):
        line = codec.encode(event)
        assert line == json.dumps(json.loads(line), separators=(",", ":")).encode() + b"\n"


def test_kind_comes_first_and_the_fields_in_order() -> None:
    body = json.loads(codec.encode(MISS))
    assert list(body) == ["kind", *(f.name for f in dataclasses.fields(MISS))]


def test_identifiers_are_strings() -> None:
    body = json.loads(codec.encode(MISS))
    assert body["netns_cookie"] == "7"
    assert body["walk"]["candidates"][0]["cookie"] == str(BIG_COOKIE)


def test_unknown_kind_is_kept_raw() -> None:
    decoded = codec.decode(_line(kind="weather", time=1, before={"a": [1, 2.5]}))
    assert decoded.event == Unknown("weather", {"time": 1, "before": {"a": [1, 2.5]}})


def test_unknown_fields_are_kept_raw() -> None:
    body = json.loads(codec.encode(MISS))
    body["colour"] = "red"
    body["walk"]["candidates"][1]["cgroup"] = [5]
    decoded = codec.decode(_line(**body))
    assert decoded.event == MISS
    assert decoded.extra == {"miss.colour": "red", "SocketView.cgroup": [5]}


def test_a_field_with_a_default_may_be_missing() -> None:
    body = json.loads(codec.encode(HEADER))
    del body["count"]
    body["colour"] = "red"
    decoded = codec.decode(_line(**body))
    assert decoded.event == HEADER
    assert decoded.extra == {"header.colour": "red"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "not JSON"),
        (b"\0\0\0\0", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"{}", "kind: a string is missing"),
        (b'{"kind":3}', "kind: a string is missing"),
        (b'{"kind":"tick"}', "tick.time: missing"),
        (b'{"kind":"tick","time":"1"}', "tick.time: an integer is expected"),
        (b'{"kind":"tick","time":true}', "tick.time: an integer is expected"),
        (b'{"kind":"tick","time":1.0}', "tick.time: an integer is expected"),
        (b'{"kind":"tick","time":null}', "tick.time: an integer is expected"),
        (b'{"kind":"tick","time":NaN}', "NaN is not JSON"),
        (b'{"kind":"tick","time":18446744073709551616}', "tick.time: not a 64-bit integer"),
        (b'{"kind":"tick","time":-9223372036854775809}', "tick.time: not a 64-bit integer"),
        (b'{"kind":"tick","time":' + b"9" * 6000 + b"}", "JSON|64-bit"),
        (b'{"kind":"end","time":1,"reason":"\\ud800"}', "end.reason: not a Unicode string"),
        (b'{"kind":"x","y":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b'{"kind":"x","y":"' + b"a" * codec.MAX_LINE + b'"}', "longer than"),
    ],
)
def test_what_is_refused(line: bytes, why: str) -> None:
    reason = _refused(line)
    assert any(part in reason for part in why.split("|"))
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("netns_cookie", 7, "miss.netns_cookie: a decimal number in a string is expected"),
        ("netns_cookie", "-7", "miss.netns_cookie: a decimal number in a string is expected"),
        ("netns_cookie", "18446744073709551616", "miss.netns_cookie: not a 64-bit integer"),
        ("datagram", None, "miss.datagram: an object is expected"),
        ("datagram.family", "ipx", "miss.datagram.family: one of ipv4, ipv6 is expected"),
        ("datagram.src", 3, "miss.datagram.src: a string is expected"),
        ("walk.candidates", {}, "miss.walk.candidates: an array is expected"),
        ("walk.truncated", 0, "miss.walk.truncated: true or false is expected"),
        ("passes", "2", "miss.passes: an integer is expected"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(path: str, value: object, why: str) -> None:
    body: Any = json.loads(codec.encode(MISS))
    *parents, last = path.split(".")
    inner = body
    for name in parents:
        inner = inner[name]
    inner[last] = value
    assert _refused(_line(**body)) == why


def test_a_pair_must_be_a_pair() -> None:
    body = json.loads(codec.encode(HEADER))
    body["missing"] = [["one"]]
    assert _refused(_line(**body)) == "header.missing: an array of 2 is expected"


@given(st.integers(0, INT_MAX), st.integers(0, INT_MAX))
def test_integers_are_exact(time: int, realtime: int) -> None:
    event = Clock(time=time, realtime_ns=realtime, boottime_ns=0)
    assert codec.decode(codec.encode(event)).event == event
    assert codec.decode(codec.encode(Tick(time))).event == Tick(time)


@given(st.sampled_from(EVENTS), st.data())
def test_one_field_of_any_json_is_an_event_or_a_codec_error(
    event: Event, data: st.DataObject
) -> None:
    body = json.loads(codec.encode(event))
    name = data.draw(st.sampled_from([f.name for f in dataclasses.fields(event)]))
    body[name] = data.draw(ANY_JSON)
    try:
        decoded = codec.decode(_line(**body)).event
    except CodecError:
        return
    assert not isinstance(decoded, Unknown)
    assert codec.decode(codec.encode(decoded)).event == decoded


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_codec_error(line: bytes) -> None:
    with contextlib.suppress(CodecError):
        codec.decode(line)
