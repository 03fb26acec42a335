"""Wrapping by terminal columns."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.render.escape import KEEP, width


def wrap(text: str, first: str, rest: str, columns: int) -> Iterator[str]:
    """The words of ``text`` in lines of at most ``columns``, the first after ``first``, the others
    after ``rest``, which is no narrower. A word wider than a line is cut."""
    line, empty = first, True
    for word in text.split(" "):
        for piece in _pieces(word, columns - width(rest)):
            if not empty and width(line) + 1 + width(piece) > columns:
                yield _finished(line)
                line, empty = rest, True
            line += piece if empty else " " + piece
            empty = False
    yield _finished(line)


def _finished(line: str) -> str:
    return line.replace(KEEP, " ").rstrip()


def _pieces(word: str, columns: int) -> Iterator[str]:
    if width(word) <= columns:
        yield word
        return
    piece = ""
    for character in word:
        if width(piece) + width(character) > columns:
            yield piece
            piece = ""
        piece += character
    yield piece
