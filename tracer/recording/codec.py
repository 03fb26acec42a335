"""One event as one line of JSON and back, driven by the dataclasses of tracer.events.

A line is an object: ``kind`` first, then the fields in their order. Tuples are arrays, nested
dataclasses are objects. The socket and netns cookies are 64-bit identifiers and are written as
decimal strings, because many JSON readers keep only 53 bits of a number.

Decoding trusts nothing: a field of a wrong type or range is an error that names it. What a newer
udptrace may have added, a kind or a field, is kept raw instead, so that the reader can count it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from tracer.events import Event
from tracer.recording.fields import IDENTIFIERS, INT_MAX, INT_MIN, fields, is_decimal, optional
from tracer.recording.pieces import in_pieces
from tracer.recording.quick import UNSURE, is_tame, learn, quick

FORMAT = 1
"""Version of the recording format this udptrace writes, and the newest it reads."""

MAX_LINE = 4 << 20
"""Bytes a line may have: a host with 100,000 addresses still fits."""

KINDS: dict[str, Any] = {cls.kind: cls for cls in typing.get_args(Event)}


class CodecError(ValueError):
    """A line that is not an event; str(error) says what is wrong with it."""


class _Wrong(Exception):
    """A value that does not fit its field: why, and the path to it, which grows on the way up."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a kind this version does not know, kept raw."""

    kind: str
    fields: dict[str, object]


class Decoded(NamedTuple):
    """A decoded line: the event, and the fields this version does not know, as "Class.field"."""

    event: Event | Unknown
    extra: dict[str, object]


Encoder = Callable[[Any], Any]
Decoder = Callable[[Any, dict[str, object]], Any]
"""Of a JSON value; the dict takes the fields that this version does not know."""


def encode(event: Event) -> bytes:
    """The event as one line of ASCII JSON, ended by a newline."""
    cls: Any = type(event)
    body = {"kind": event.kind, **_encoder(cls)(event)}
    return json.dumps(body, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Decoded:
    """The event of a line (with or without its newline). Raises CodecError."""
    tame = is_tame(line)
    if tame and (event := in_pieces(line)) is not None:
        return Decoded(event, {})
    body = parse(line)
    kind = body.pop("kind", None)
    if not isinstance(kind, str):
        raise CodecError("kind: a string is missing")
    cls = KINDS.get(kind)
    if cls is None:
        return Decoded(Unknown(kind, body), {})
    if tame:
        try:
            return Decoded(quick(cls)(body), {})
        except UNSURE:
            pass
    extra: dict[str, object] = {}
    try:
        return Decoded(_decoder(cls)(body, extra), extra)
    except _Wrong as wrong:
        raise CodecError(f"{'.'.join([kind, *wrong.path])}: {wrong.why}") from None


def parse(line: bytes) -> dict[str, Any]:
    """The JSON object of a line, its values not checked yet. Raises CodecError."""
    if len(line) > MAX_LINE:
        raise CodecError(f"longer than {MAX_LINE} bytes")
    try:
        body = _json(line.decode("utf-8"))
    except RecursionError:
        raise CodecError("nested too deeply") from None
    except UnicodeDecodeError:
        raise CodecError("not UTF-8 text") from None
    except CodecError:
        raise
    except ValueError:
        raise CodecError("not JSON") from None
    if not isinstance(body, dict):
        raise CodecError("not a JSON object")
    return body


def _json(text: str) -> Any:
    """The value of a text, by the shorter way where no spaces are around it."""
    if text[:1] == "{":
        value, end = _JSON.raw_decode(text)
        if end == len(text):
            return value
    return _JSON.decode(text)


def _no_constant(name: str) -> object:
    raise CodecError(f"{name} is not JSON")


# json.loads() with an argument makes a decoder anew for each line.
_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _same(value: Any) -> Any:
    return value


@functools.cache
def _encoder(hint: Any) -> Encoder:
    """The function that turns a value of the type into what json.dumps takes."""
    if dataclasses.is_dataclass(hint):
        return _dataclass_encoder(hint)
    inner = optional(hint)
    if inner is not None:
        convert = _encoder(inner)
        return _same if convert is _same else lambda v: None if v is None else convert(v)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and args[-1] is ...:
        convert = _encoder(args[0])
        return list if convert is _same else lambda v: [convert(item) for item in v]
    return _same


def _dataclass_encoder(cls: Any) -> Encoder:
    plan = tuple(
        (name, str if name in IDENTIFIERS else _encoder(hint)) for name, hint, _ in fields(cls)
    )
    return lambda value: {name: convert(getattr(value, name)) for name, convert in plan}


@functools.cache
def _decoder(hint: Any) -> Decoder:
    """The function that checks a JSON value against the type and turns it into one."""
    if dataclasses.is_dataclass(hint):
        return _dataclass_decoder(hint)
    inner = optional(hint)
    if inner is not None:
        convert = _decoder(inner)
        return lambda value, extra: None if value is None else convert(value, extra)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _literal_decoder(args)
    if origin is tuple:
        return _list_decoder(args[0]) if args[-1] is ... else _tuple_decoder(args)
    return {str: _decode_str, int: _decode_int, bool: _decode_bool}[hint]


def _dataclass_decoder(cls: Any) -> Decoder:
    plan = tuple(
        (name, _decode_identifier if name in IDENTIFIERS else _decoder(hint), required)
        for name, hint, required in fields(cls)
    )
    label = getattr(cls, "kind", cls.__name__)
    names = {name for name, _, _ in plan}

    def decode_object(value: Any, extra: dict[str, object]) -> Any:
        whole = cls(**_decode_fields(value, plan, extra))
        unknown = value.keys() - names
        extra.update((f"{label}.{key}", value[key]) for key in unknown)
        if names <= value.keys():
            learn(cls, value)
        return whole

    return decode_object


def _decode_fields(
    value: Any, plan: tuple[tuple[str, Decoder, bool], ...], extra: dict[str, object]
) -> dict[str, Any]:
    """The fields that are there, by name."""
    if not isinstance(value, dict):
        raise _Wrong("an object is expected")
    found = {}
    for name, convert, required in plan:
        try:
            if name in value:
                found[name] = convert(value[name], extra)
            elif required:
                raise _Wrong("missing")
        except _Wrong as wrong:
            wrong.path = (name, *wrong.path)
            raise
    return found


def _list_decoder(hint: Any) -> Decoder:
    inner = _decoder(hint)

    def decode_list(value: Any, extra: dict[str, object]) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Wrong("an array is expected")
        return tuple([inner(item, extra) for item in value])

    return decode_list


def _tuple_decoder(args: tuple[Any, ...]) -> Decoder:
    inners = tuple(_decoder(arg) for arg in args)

    def decode_tuple(value: Any, extra: dict[str, object]) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(inners):
            raise _Wrong(f"an array of {len(inners)} is expected")
        return tuple([inner(item, extra) for inner, item in zip(inners, value, strict=True)])

    return decode_tuple


def _literal_decoder(choices: tuple[Any, ...]) -> Decoder:
    def decode_literal(value: Any, extra: dict[str, object]) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise _Wrong(f"one of {', '.join(choices)} is expected")
        return value

    return decode_literal


def _decode_str(value: Any, extra: dict[str, object]) -> str:
    if not isinstance(value, str):
        raise _Wrong("a string is expected")
    # A lone surrogate ("\ud800") is legal JSON, and would fail only later, when it is printed.
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise _Wrong("not a Unicode string")
    return value


def _decode_int(value: Any, extra: dict[str, object]) -> int:
    if type(value) is not int:
        raise _Wrong("an integer is expected")
    if not INT_MIN <= value <= INT_MAX:
        raise _Wrong("not a 64-bit integer")
    return value


def _decode_identifier(value: Any, extra: dict[str, object]) -> int:
    if not is_decimal(value):
        raise _Wrong("a decimal number in a string is expected")
    return _decode_int(int(value), extra)


def _decode_bool(value: Any, extra: dict[str, object]) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false is expected")
    return value
