"""Lines decoded in pieces: the same event or none; and no line is taken for what it is not."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import EVENTS
from tests.unit.test_quick import carefully
from tracer.events import Call, Close, Event, SockError
from tracer.recording import codec
from tracer.recording.pieces import MOST_BYTES, in_pieces
from tracer.recording.quick import is_tame

CUT = [event for event in EVENTS if isinstance(event, Call | Close | SockError)]
CALL = next(event for event in CUT if isinstance(event, Call) and event.requested)


def _line(event: Event) -> bytes:
    """As the reader passes it on; what it has in it has been decoded before."""
    line = codec.encode(event).rstrip(b"\n")
    carefully(line)
    return line


def test_each_kind_is_there() -> None:
    assert {type(event) for event in CUT} == {Call, Close, SockError}


@pytest.mark.parametrize("event", CUT, ids=lambda event: f"{event.kind}-{event.time}")
def test_the_event_of_a_line(event: Event) -> None:
    assert in_pieces(_line(event)) == event


def test_what_comes_again_is_the_same_object() -> None:
    first = in_pieces(_line(CALL))
    again = in_pieces(_line(dataclasses.replace(CALL, time=CALL.time + 1)))
    assert isinstance(first, Call)
    assert isinstance(again, Call)
    assert again.after is first.after
    assert again.time == CALL.time + 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"error":0,', b'"error":00,'),
        (b'"error":0,', b'"error":-1,'),
        (b'"within":null}', b'"within":null,"colour":"red"}'),
        (b'"within":null}', b'"within":null}}'),
        (b'"within":null}', b'"within":null'),
        (b',"within":null}', b"}"),
        (b'"op":"connect"', b'"op":"dance"'),
        (b'"op":"connect"', b'"op":["connect"'),
        (b'"op":"connect"', b'"op":NaN'),
        (b'"task":{', b'"task":{"x":{"a":1,"before":{}},'),
        (b'"requested":', b'"x":{"requested":'),
        (b'"requested":', b'"requested":{"a":'),
        (b'"entered":', b'"Entered":'),
        (b'"comm":"', b'"comm":"\xff'),
        (b'"comm":"', b'"comm":"},'),
        (b'"before":', b'"before":' + b"[" * 2000),
        (b'"before":', b" " * MOST_BYTES + b'"before":'),
        (b'{"kind":"call","time":', b'{"kind":"call","kind":"call","time":'),
    ],
)
def test_a_line_that_is_otherwise_is_left_alone_or_the_same(old: bytes, new: bytes) -> None:
    line = _line(dataclasses.replace(CALL, error=0))
    other = line.replace(old, new, 1)
    assert other != line
    event = in_pieces(other)
    assert event is None or codec.Decoded(event, {}) == carefully(other)


@given(st.sampled_from(CUT), st.data())
def test_a_line_cut_and_put_together_otherwise(event: Event, data: st.DataObject) -> None:
    line = _line(event)
    places = st.integers(0, len(line))
    begin, end, at = (data.draw(places) for _ in range(3))
    other = line[:at] + line[min(begin, end) : max(begin, end)] + line[at + data.draw(places) :]
    found = in_pieces(other) if is_tame(other) else None
    assert found is None or codec.Decoded(found, {}) == carefully(other)
