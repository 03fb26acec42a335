"""Cells of CSV made safe, and rows of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from tracer.render.escape import line, shorten

# Where a spreadsheet sees a formula, in Japanese too; tab and carriage return are escaped before
# they come here.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_LONGEST = 4000
"""Characters of a cell before they are escaped; a spreadsheet takes some 32,000."""


def cell(value: object) -> str:
    """A value made safe: nothing that moves a cursor, and no formula (CWE-1236).

    What begins like a formula gets an apostrophe before it, which spreadsheets do not show.
    """
    text = "" if value is None else line(shorten(str(value), _LONGEST))
    return "'" + text if text.startswith(_FORMULA) else text


def row(cells: Iterable[str]) -> str:
    """A line of cells that were made safe, quoted where that is needed."""
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
