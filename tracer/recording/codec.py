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
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Union

from tracer.events import Event

FORMAT = 1
"""Version of the recording format this udptrace writes, and the newest it reads."""

MAX_LINE = 4 << 20
"""Bytes a line may have: a host with 100,000 addresses still fits."""

IDENTIFIERS = frozenset({"cookie", "netns_cookie"})
"""Fields written as decimal strings."""

INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
"""Every integer fits in 64 bits, signed or not."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded line: the event, and the fields this version does not know, as "Class.field"."""

    event: Event | Unknown
    extra: dict[str, object]


Encoder = Callable[[Any], Any]


@dataclasses.dataclass(slots=True)
class _Line:
    """What is known of the line being decoded."""

    tame: bool
    """Nothing in it can be an integer beyond 64 bits or a lone surrogate: types say enough."""
    extra: dict[str, object] = dataclasses.field(default_factory=dict)
    """Fields this version does not know."""


Decoder = Callable[[Any, _Line], Any]


def encode(event: Event) -> bytes:
    """The event as one line of ASCII JSON, ended by a newline."""
    cls: Any = type(event)
    body = {"kind": event.kind, **_encoder(cls)(event)}
    return json.dumps(body, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Decoded:
    """The event of a line (with or without its newline). Raises CodecError."""
    body = parse(line)
    kind = body.pop("kind", None)
    if not isinstance(kind, str):
        raise CodecError("kind: a string is missing")
    cls = KINDS.get(kind)
    if cls is None:
        return Decoded(Unknown(kind, body), {})
    read = _Line(tame=_is_tame(line))
    try:
        return Decoded(_decoder(cls)(body, read), read.extra)
    except _Wrong as wrong:
        raise CodecError(f"{'.'.join([kind, *wrong.path])}: {wrong.why}") from None


def parse(line: bytes) -> dict[str, Any]:
    """The JSON object of a line, its values not checked yet. Raises CodecError."""
    if len(line) > MAX_LINE:
        raise CodecError(f"longer than {MAX_LINE} bytes")
    try:
        body = _JSON.decode(line.decode("utf-8"))
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


def _no_constant(name: str) -> object:
    raise CodecError(f"{name} is not JSON")


# json.loads() with an argument makes a decoder anew for each line.
_JSON = json.JSONDecoder(parse_constant=_no_constant)

# Digits, all as the same one: a pattern takes ten times as long to find many in a row.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_MANY = b"0" * 19


def _is_tame(line: bytes) -> bool:
    """Whether no integer can have more than 64 bits, and no string a lone surrogate."""
    return b"\\u" not in line and _MANY not in line.translate(_DIGITS)


@functools.cache
def _fields(cls: Any) -> tuple[tuple[str, Any, bool], ...]:
    """(name, resolved type, required) of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        (f.name, hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    )


def _same(value: Any) -> Any:
    return value


@functools.cache
def _encoder(hint: Any) -> Encoder:
    """The function that turns a value of the type into what json.dumps takes."""
    if dataclasses.is_dataclass(hint):
        return _dataclass_encoder(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        inner = _encoder(_of_optional(args))
        return _same if inner is _same else lambda v: None if v is None else inner(v)
    if origin is tuple and args[-1] is ...:
        inner = _encoder(args[0])
        return list if inner is _same else lambda v: [inner(item) for item in v]
    return _same


def _dataclass_encoder(cls: Any) -> Encoder:
    plan = tuple(
        (name, str if name in IDENTIFIERS else _encoder(hint)) for name, hint, _ in _fields(cls)
    )
    return lambda value: {name: convert(getattr(value, name)) for name, convert in plan}


@functools.cache
def _decoder(hint: Any) -> Decoder:
    """The function that checks a JSON value against the type and turns it into one."""
    if dataclasses.is_dataclass(hint):
        return _dataclass_decoder(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        inner = _decoder(_of_optional(args))
        return lambda value, line: None if value is None else inner(value, line)
    if origin is Literal:
        return _literal_decoder(args)
    if origin is tuple:
        return _list_decoder(args[0]) if args[-1] is ... else _tuple_decoder(args)
    return {str: _decode_str, int: _decode_int, bool: _decode_bool}[hint]


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _of_optional(args: tuple[Any, ...]) -> Any:
    """The type beside None in ``X | None``: no other union occurs in an event."""
    (inner,) = (arg for arg in args if arg is not type(None))
    return inner


def _dataclass_decoder(cls: Any) -> Decoder:
    plan = tuple(
        (name, _decode_identifier if name in IDENTIFIERS else _decoder(hint), required)
        for name, hint, required in _fields(cls)
    )
    label = getattr(cls, "kind", cls.__name__)
    take = _taker(tuple(name for name, _, _ in plan))
    # In a tame line, all that is left to do once the types are known to be right.
    rest = tuple(
        (at, plan[at][1])
        for at, (name, hint, _) in enumerate(_fields(cls))
        if name in IDENTIFIERS or not _is_plain(hint)
    )
    right: set[tuple[type, ...]] = set()
    """Types of the fields that have passed all checks before: as many as the class allows."""

    def decode_object(value: Any, line: _Line) -> Any:
        try:
            found = take(value)
            kinds = tuple(map(type, found))
            if line.tame and kinds in right:
                made = list(found)
                for at, convert in rest:
                    made[at] = convert(made[at], line)
            else:
                made = [convert(value[name], line) for name, convert, _ in plan]
                right.add(kinds)
            if len(value) == len(plan):
                return cls(*made)
        except (_Wrong, KeyError, TypeError):
            # Once more, slowly: a field is left to its default, or the wrong one is to be named.
            pass
        whole = cls(**_decode_fields(value, plan, line))
        known = {name for name, _, _ in plan}
        line.extra.update((f"{label}.{key}", value[key]) for key in value.keys() - known)
        return whole

    return decode_object


def _is_plain(hint: Any) -> bool:
    """Whether JSON's value of the right type is the field's."""
    args = set(typing.get_args(hint)) if _is_union(hint) else {hint}
    return args <= {str, int, bool, type(None)}


def _taker(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """The fields of an object in their order; raises KeyError or TypeError."""
    take: Any = operator.itemgetter(*names)
    return take if len(names) > 1 else lambda value: (take(value),)


def _decode_fields(
    value: Any, plan: tuple[tuple[str, Decoder, bool], ...], line: _Line
) -> dict[str, Any]:
    """The fields that are there, by name."""
    if not isinstance(value, dict):
        raise _Wrong("an object is expected")
    found = {}
    for name, convert, required in plan:
        try:
            if name in value:
                found[name] = convert(value[name], line)
            elif required:
                raise _Wrong("missing")
        except _Wrong as wrong:
            wrong.path = (name, *wrong.path)
            raise
    return found


def _list_decoder(hint: Any) -> Decoder:
    inner = _decoder(hint)

    def decode_list(value: Any, line: _Line) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _Wrong("an array is expected")
        return tuple([inner(item, line) for item in value])

    return decode_list


def _tuple_decoder(args: tuple[Any, ...]) -> Decoder:
    inners = tuple(_decoder(arg) for arg in args)

    def decode_tuple(value: Any, line: _Line) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(inners):
            raise _Wrong(f"an array of {len(inners)} is expected")
        return tuple([inner(item, line) for inner, item in zip(inners, value, strict=True)])

    return decode_tuple


def _literal_decoder(choices: tuple[Any, ...]) -> Decoder:
    def decode_literal(value: Any, line: _Line) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise _Wrong(f"one of {', '.join(choices)} is expected")
        return value

    return decode_literal


def _decode_str(value: Any, line: _Line) -> str:
    if not isinstance(value, str):
        raise _Wrong("a string is expected")
    # A lone surrogate ("\ud800") is legal JSON, and would fail only later, when it is printed.
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise _Wrong("not a Unicode string")
    return value


def _decode_int(value: Any, line: _Line) -> int:
    if type(value) is not int:
        raise _Wrong("an integer is expected")
    if not INT_MIN <= value <= INT_MAX:
        raise _Wrong("not a 64-bit integer")
    return value


def _decode_identifier(value: Any, line: _Line) -> int:
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20):
        raise _Wrong("a decimal number in a string is expected")
    return _decode_int(int(value), line)


def _decode_bool(value: Any, line: _Line) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false is expected")
    return value
