"""Decodes the lines of calls, closes and errors in pieces, by what the same text was before.

A socket is written into each of its events, a process into each of its calls: two pieces in three
have been seen before, and JSON's decoder, the largest part of reading, need not look at them.

A line is cut at the names of all the fields, in their order. Each piece between them must be a JSON
value by itself, so the line is the object of just these fields. Any other line is left alone.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

from tracer.events import Call, Close, Event, SockError
from tracer.recording.fields import fields
from tracer.recording.quick import UNSURE, Unsure, item

MOST_BYTES = 4096
"""A line that is longer is not like others."""

KEPT = 2048
"""Texts of one type that are remembered."""

Cut = tuple[Callable[[bytes], Any], bytes]
"""What decodes a piece, and the text that ends it."""


def in_pieces(line: bytes) -> Event | None:
    """The event of a tame line; None for one to be looked at by other means."""
    begin = line.find(b":", len(b'{"kind":')) + 1
    plan = _plans().get(line[:begin])
    if plan is None or len(line) > MOST_BYTES or not line.endswith(b"}"):
        return None
    cls, cuts, last = plan
    values = []
    try:
        for decode, marker in cuts:
            end = line.index(marker, begin)
            values.append(decode(line[begin:end]))
            begin = end + len(marker)
        event: Event = cls(*values, last(line[begin:-1]))
    except (ValueError, RecursionError, *UNSURE):
        return None
    return event


@functools.cache
def _plans() -> dict[bytes, tuple[Any, tuple[Cut, ...], Callable[[bytes], Any]]]:
    """By how a line begins, up to the first field's value: its class, the cuts, the last piece."""
    return {_beginning(cls): (cls, *_cuts(cls)) for cls in (Call, Close, SockError)}


def _beginning(cls: Any) -> bytes:
    return f'{{"kind":"{cls.kind}","{fields(cls)[0][0]}":'.encode()


def _cuts(cls: Any) -> tuple[tuple[Cut, ...], Callable[[bytes], Any]]:
    decoders = [_integer if hint is int else _seen(hint) for _, hint, _ in fields(cls)]
    markers = [f',"{name}":'.encode() for name, _, _ in fields(cls)[1:]]
    return tuple(zip(decoders, markers, strict=False)), decoders[-1]


def _integer(text: bytes) -> int:
    """Most are times: not worth remembering."""
    if text.isdigit() and (text == b"0" or not text.startswith(b"0")):
        return int(text)
    raise Unsure


@functools.cache
def _seen(hint: Any) -> Callable[[bytes], Any]:
    """The decoder of a type's values that remembers them, which costs nothing: they are frozen."""
    convert, scan = item(hint), json.JSONDecoder().raw_decode

    @functools.lru_cache(KEPT)
    def decode(piece: bytes) -> Any:
        text = piece.decode("utf-8")
        value, end = scan(text)
        if end != len(text):
            raise Unsure
        return convert(value)

    return decode
