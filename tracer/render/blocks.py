"""What blocks of text for a terminal are made of: a label, and words wrapped beside it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tracer.parts import Socket
from tracer.render import phrases
from tracer.render.escape import name, width
from tracer.render.wrap import wrap

INDENT = " " * 14


class Blocks:
    """What a renderer builds on: it lays out lines of ``columns``, with ``color`` or without."""

    def __init__(self, *, color: bool = False, columns: int = 80) -> None:
        self._color = color
        self._columns = columns

    def _socket(self, socket: Socket) -> str:
        """Who holds it, its ends and its state."""
        ends = self._together(phrases.ends(socket), len(INDENT))
        device = f"  dev {name(socket.device)}" if socket.device else ""
        return f"{phrases.holders(socket, fd=True)}  {ends}{device}"

    def _together(self, text: str, indent: int) -> str:
        """Not to be broken, unless it is wider than a line."""
        return phrases.kept(text) if indent + width(text) <= self._columns else text

    def _block(self, label: str, text: str) -> Iterator[str]:
        first = f"  {label:<10}  "
        return self._painted(wrap(text, first, INDENT, self._columns), label, fg="cyan")

    def _painted(
        self, lines: Iterator[str], word: str, fg: str, *, bold: bool = False
    ) -> Iterator[str]:
        """The lines, with the first occurrence of a word in the first one in colour."""
        for number, text in enumerate(lines):
            if self._color and word and number == 0:
                text = text.replace(word, click.style(word, fg=fg, bold=bold), 1)
            yield text

    def _text(self, lines: Iterator[str] | list[str]) -> str:
        return "".join(text + "\n" for text in lines)
