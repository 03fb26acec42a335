"""What the codec knows of an event's fields: their types, and how those are written in JSON."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, TypeGuard, Union

IDENTIFIERS = frozenset({"cookie", "netns_cookie"})
"""Fields written as decimal strings: 64-bit numbers, of which many JSON readers keep 53 bits."""

INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
"""Every integer fits in 64 bits, signed or not."""


@functools.cache
def fields(cls: Any) -> tuple[tuple[str, Any, bool], ...]:
    """(name, resolved type, required) of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        (f.name, hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(cls)
    )


def optional(hint: Any) -> Any:
    """The type beside None in ``X | None``, the only union in an event; None for any other type."""
    if typing.get_origin(hint) not in (Union, types.UnionType):
        return None
    (inner,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return inner


def is_decimal(value: object) -> TypeGuard[str]:
    """Whether it is a string of decimal digits, few enough for 64 bits."""
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20
