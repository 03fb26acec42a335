"""docs/kernels.md as a table: what the page says of one kernel."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/kernels.md"


def columns() -> list[str]:
    """The kernels of the page, oldest first."""
    header = next(line for line in PAGE.read_text().splitlines() if line.startswith("| function"))
    return _cells(header)[1:]


def said_of(kernel: str) -> dict[str, str]:
    """What each row says of a kernel of the page: its first cell -> that kernel's."""
    at = 1 + columns().index(kernel)
    rows = [_cells(line) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return {row[0]: row[at] for row in rows if row[0] not in ("---", "function", "feature")}


def column_of(release: str) -> str:
    """The column a running kernel belongs to; the newest's for one that has none of its own."""
    return next((k for k in columns() if release.startswith(f"{k}.")), columns()[-1])


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
