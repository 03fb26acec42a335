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
import operator
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


Encoder = Callable[[Any], str]
"""A value's JSON text."""
Decoder = Callable[[Any, dict[str, object]], Any]
"""Of a JSON value; the dict takes the fields that this version does not know."""


def encode(event: Event) -> bytes:
    """The event as one line of ASCII JSON, ended by a newline."""
    cls: Any = type(event)
    return _event_encoder(cls)(event).encode("ascii")


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

_quoted = json.encoder.encode_basestring_ascii
_WORDS = {True: "true", False: "false"}


# The text is put together here, which takes half the time of a dict and json.dumps(): each event of
# a trace that is recorded goes this way.
@functools.cache
def _event_encoder(cls: Any) -> Encoder:
    """A line's encoder: the kind goes before the fields."""
    return _object_encoder(cls, f'"kind":{_quoted(cls.kind)},', "\n")


@functools.cache
def _encoder(hint: Any) -> Encoder:
    """The function that makes the JSON text of a value of the type."""
    if dataclasses.is_dataclass(hint):
        return _object_encoder(hint)
    inner = optional(hint)
    if inner is not None:
        convert = _encoder(inner)
        return lambda value: "null" if value is None else convert(value)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _quoted
    if origin is tuple:
        return _list_encoder(args[0]) if args[-1] is ... else _tuple_encoder(args)
    scalars: dict[Any, Encoder] = {str: _quoted, int: str, bool: _WORDS.__getitem__}
    return scalars[hint]


def _object_encoder(cls: Any, before: str = "", after: str = "") -> Encoder:
    """Numbers are left to the template; what else there is has an encoder of its own."""
    names = [name for name, _, _ in fields(cls)]
    members = ",".join(f'"{name}":%s' for name in names)
    template = f"{{{before}{members}}}{after}"
    plan = tuple(
        (at, _identifier if name in IDENTIFIERS else _encoder(hint))
        for at, (name, hint, _) in enumerate(fields(cls))
        if hint is not int or name in IDENTIFIERS
    )
    take = operator.attrgetter(*names) if len(names) > 1 else _only(names[0])

    def encode_object(value: Any) -> str:
        values = list(take(value))
        for at, convert in plan:
            values[at] = convert(values[at])
        return template % tuple(values)

    return encode_object


def _only(name: str) -> Callable[[Any], tuple[Any]]:
    take = operator.attrgetter(name)
    return lambda value: (take(value),)


def _identifier(value: int) -> str:
    return f'"{value}"'


def _list_encoder(hint: Any) -> Encoder:
    convert = _encoder(hint)
    return lambda value: f"[{','.join(map(convert, value))}]"


def _tuple_encoder(hints: tuple[Any, ...]) -> Encoder:
    converts = tuple(map(_encoder, hints))
    return lambda value: f"[{','.join([c(item) for c, item in zip(converts, value, strict=True)])}]"


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
