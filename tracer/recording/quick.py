"""Decodes events like those that have passed every check before, by the types of their fields.

Most lines of a recording are alike. Where a line is `tame` and the fields of each object in it have
types that were right before, only words and identifiers are left to check. Whatever is not so is
`Unsure`: the codec then decodes the line field by field, and finds out what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Iterator
from typing import Any, Literal

from tracer.recording.fields import IDENTIFIERS, INT_MAX, fields, is_decimal, optional

IDENTIFIERS_KEPT = 4096
"""Identifiers whose numbers are remembered: those of a namespace and of its sockets come often."""

Types = tuple[type, ...]
Convert = Callable[[Any], Any]

# Digits, all as the same one: a pattern takes ten times as long to find many in a row.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_MANY = b"0" * 19


class Unsure(Exception):
    """Another decoder has to look at it."""


UNSURE = (Unsure, KeyError, TypeError)
"""What a quick decoder raises."""


def is_tame(line: bytes) -> bool:
    """Whether no integer can have more than 64 bits, and no string a lone surrogate."""
    return b"\\u" not in line and _MANY not in line.translate(_DIGITS)


def learn(cls: Any, value: dict[str, Any]) -> None:
    """Take in the types of the fields of an object that has passed all checks."""
    taken = _taker(cls)(value)
    _passed(cls).add(tuple(map(type, taken)))


@functools.cache
def quick(cls: Any) -> Convert:
    """The decoder of a dataclass's objects from tame lines; it raises what `UNSURE` lists."""
    take, passed = _taker(cls), _passed(cls)
    plan, count = tuple(_conversions(cls)), len(fields(cls))

    def decode_object(value: Any) -> Any:
        made = take(value)
        if tuple(map(type, made)) not in passed or len(value) != count:
            raise Unsure
        if plan:
            made = list(made)
            for at, convert in plan:
                made[at] = convert(made[at])
        return cls(*made)

    return decode_object


def _conversions(cls: Any) -> Iterator[tuple[int, Convert]]:
    """By their places the fields of which more than the type is to be looked at."""
    for at, (name, hint, _) in enumerate(fields(cls)):
        convert = _identifier if name in IDENTIFIERS else _convert(hint)
        if convert is not None:
            yield at, convert


@functools.cache
def _passed(cls: Any) -> set[Types]:
    """The types of the fields that were right: as many combinations as the class allows."""
    return set()


@functools.cache
def _taker(cls: Any) -> Callable[[Any], Any]:
    """The values of an object in the order of the fields; raises KeyError or TypeError."""
    names = [name for name, _, _ in fields(cls)]
    take = operator.itemgetter(*names)
    return take if len(names) > 1 else lambda value: (take(value),)


def _convert(hint: Any) -> Convert | None:
    """What is left to do with a value of the right JSON type; None for nothing."""
    inner = optional(hint)
    if inner is not None:
        convert = _convert(inner)
        return None if convert is None else _none_or(convert)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return quick(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {word: word for word in args}.__getitem__
    if origin is tuple:
        return _list(args[0]) if args[-1] is ... else _tuple(args)
    return None


def _none_or(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _list(hint: Any) -> Convert:
    convert = item(hint)
    return lambda value: tuple([convert(one) for one in value])


def _tuple(hints: tuple[Any, ...]) -> Convert:
    converts = [item(hint) for hint in hints]

    def convert_all(value: Any) -> Any:
        if len(value) != len(converts):
            raise Unsure
        return tuple([convert(one) for convert, one in zip(converts, value, strict=True)])

    return convert_all


@functools.cache
def item(hint: Any) -> Convert:
    """The decoder of any value of a type, whose JSON type is still to be checked."""
    inner = optional(hint)
    if inner is not None:
        return _none_or(item(inner))
    convert = _convert(hint)
    wanted = dict if dataclasses.is_dataclass(hint) else typing.get_origin(hint) or hint
    wanted = {tuple: list, Literal: str}.get(wanted, wanted)

    def check(value: Any) -> Any:
        if type(value) is not wanted:
            raise Unsure
        return value if convert is None else convert(value)

    return check


@functools.lru_cache(IDENTIFIERS_KEPT)
def _identifier(value: str) -> int:
    if not is_decimal(value) or (number := int(value)) > INT_MAX:
        raise Unsure
    return number
