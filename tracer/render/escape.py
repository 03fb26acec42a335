"""The one place where text from outside is made safe to print: names, and whole lines."""

from __future__ import annotations

import re
import unicodedata

# Longest name printed, in characters of the escaped text. comm has 15 bytes, an interface name 15.
NAME_LIMIT = 40

# A space that a line is not broken at. From outside it does not pass: it is escaped.
KEEP = "\u00a0"

_PLAIN = re.compile(r"[A-Za-z0-9._:/@+%~-]+\Z")

# What cannot move the cursor, hide or stack: letters, numbers, punctuation, symbols. Not marks (M),
# separators but the space (Z), controls, format characters, surrogates, private use (C).
_HARMLESS = "LNPS"

# Bidirectional classes that reorder the text beside them.
_REORDERING = ("R", "AL", "AN")


def name(text: str, limit: int = NAME_LIMIT) -> str:
    """A name from outside: escaped, bounded, quoted where it could pass for other words."""
    if _PLAIN.match(text) and len(text) <= limit:
        return text
    backslashed = text[: limit + 1].replace("\\", "\\\\").replace('"', '\\"')
    return '"' + shorten(line(backslashed), limit) + '"'


def line(text: str) -> str:
    """A composed line: every character that is not plainly visible is escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters, with ``...`` for what is left out."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def width(text: str) -> int:
    """Columns of a terminal, counting what may be wide as wide; for text made safe here."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WFA" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """As much of the text as fits into so many columns of a terminal, ``~`` for what does not."""
    if width(text) <= columns:
        return text
    kept = ""
    for character in text:
        if width(kept) + width(character) >= columns:
            break
        kept += character
    return kept + "~" if columns > 0 else ""


def _escaped(character: str) -> str:
    if character == " " or _harmless(character):
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # A byte that was not UTF-8, as os.fsdecode hands it on.
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def _harmless(character: str) -> bool:
    visible = unicodedata.category(character)[0] in _HARMLESS
    return visible and unicodedata.bidirectional(character) not in _REORDERING
