"""Words to man(7) markup: nothing in a text can become a request."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

_AS_TYPED = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", '"': r"\(dq", "^": r"\(ha", "~": r"\(ti"}
)


def words(text: str) -> str:
    """A text; what stands in it between backticks is bold."""
    return _lines(re.sub("`([^`]*)`", r"\\fB\1\\fR", _escaped(text)))


def joined(parts: Iterable[str]) -> str:
    """Pieces of markup with blanks between them."""
    return _lines(" ".join(parts))


def bold(text: str) -> str:
    """A text to be typed as it is."""
    return rf"\fB{_escaped(text)}\fR"


def italic(text: str) -> str:
    """A text that stands for another."""
    return rf"\fI{_escaped(text)}\fR"


def heading(title: str) -> str:
    """The beginning of a section."""
    return f'.SH "{_escaped(title)}"'


def paragraphs(texts: Iterable[str]) -> Iterator[str]:
    """Texts, each a paragraph; the first follows its heading at once."""
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield words(text)


def listed(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Terms, which are markup already, each with a text beside or below it."""
    for term, text in items:
        yield ".TP"
        yield term
        yield words(text)


def _lines(marked: str) -> str:
    """In lines that a person can read; none begins with a request's dot."""
    lines = textwrap.wrap(marked, 80, break_long_words=False, break_on_hyphens=False)
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in lines)


def _escaped(text: str) -> str:
    return " ".join(text.split()).translate(_AS_TYPED)
