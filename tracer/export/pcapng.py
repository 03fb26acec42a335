"""Writes pcapng blocks (draft-ietf-opsawg-pcapng), little-endian, with nanosecond times."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Literal

from tracer.export.packets import Packet

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_RAW = 101
"""LINKTYPE_RAW: a packet begins with its IPv4 or IPv6 header."""

# Option codes.
_END, _COMMENT = 0, 1
_OS, _APPLICATION = 3, 4
_NAME, _DESCRIPTION, _TIME_RESOLUTION, _INTERFACE_OS = 2, 3, 9, 12
_FLAGS = 2

_LONGEST = 65_535
"""Bytes of an option; texts are cut to it."""

Direction = Literal["in", "out"]
_DIRECTIONS: dict[Direction, int] = {"in": 1, "out": 2}

Option = tuple[int, bytes]


def section(application: str, comment: str) -> bytes:
    """The first block of a file."""
    body = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
    return _block(_SECTION, body, [(_APPLICATION, _text(application)), (_COMMENT, _text(comment))])


def interface(name: str, description: str, system: str) -> bytes:
    """An interface; packets name them by the order in which they come."""
    options = [
        (_NAME, _text(name)),
        (_DESCRIPTION, _text(description)),
        (_TIME_RESOLUTION, b"\x09"),
        (_INTERFACE_OS, _text(system)),
    ]
    return _block(_INTERFACE, struct.pack("<HHI", _RAW, 0, 0), options)


def packet(number: int, time: int, what: Packet, comments: Iterable[str], way: Direction) -> bytes:
    """A packet of the interface with this number, at a time (UTC ns, not negative)."""
    body = struct.pack("<IQII", number, 0, len(what.data), what.length)
    # The time is two words of 32 bits, the high one first, whatever the byte order.
    body = body[:4] + struct.pack("<II", time >> 32, time & 0xFFFFFFFF) + body[12:]
    options = [(_COMMENT, _text(comment)) for comment in comments]
    options.append((_FLAGS, struct.pack("<I", _DIRECTIONS[way])))
    return _block(_PACKET, body + _padded(what.data), options)


def _text(text: str) -> bytes:
    """UTF-8, cut where an option must end, between two characters."""
    return text.encode("utf-8")[:_LONGEST].decode("utf-8", "ignore").encode("utf-8")


def _block(kind: int, body: bytes, options: Iterable[Option]) -> bytes:
    tail = b"".join(struct.pack("<HH", code, len(v)) + _padded(v) for code, v in options)
    tail += struct.pack("<HH", _END, 0)
    length = 12 + len(body) + len(tail)
    return struct.pack("<II", kind, length) + body + tail + struct.pack("<I", length)


def _padded(data: bytes) -> bytes:
    """To a multiple of 32 bits."""
    return data + b"\0" * (-len(data) % 4)
