"""A figure that was measured, its target, and tables and JSON of many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

INSTRUCTIONS, MILLIONS, SECONDS, MEGABYTES = "instructions", "million instructions", "s", "MB"
COUNT = "count"


@dataclass(frozen=True)
class Figure:
    """One cell of a topic's table: what was measured (``column``) of whom or what (``row``).

    ``at_most``: the target, in the same unit; None where there is none.
    """

    topic: str
    row: str
    column: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the target is not met."""
        return self.at_most is not None and self.value > self.at_most

    @property
    def target(self) -> str:
        """As it is read; empty where there is none."""
        return "" if self.at_most is None else number(self.at_most, self.unit)

    def text(self) -> str:
        """The value, and whether its target is missed."""
        return number(self.value, self.unit) + (" MISSED" if self.missed else "")

    def cell(self) -> str:
        """... with the target."""
        return self.text() + (f" (target {self.target})" if self.target else "")


def number(value: float, unit: str) -> str:
    """A value as it is read: two decimals of seconds, thousands apart for all else."""
    if unit == SECONDS:
        return f"{value:.2f} s"
    return f"{value:,.0f}" + (f" {unit}" if unit == MEGABYTES else "")


def table(figures: Sequence[Figure], style: str) -> str:
    """The figures of one topic: a row for each of its subjects, in tabulate's style."""
    columns = list(dict.fromkeys(f.column for f in figures))
    rows: dict[str, dict[str, str]] = {}
    for figure in figures:
        rows.setdefault(figure.row, {})[figure.column] = figure.cell()
    cells = [[row, *(found.get(column, "") for column in columns)] for row, found in rows.items()]
    aligned = ["left", *("right" for _ in columns)]
    return tabulate(cells, ["", *columns], tablefmt=style, colalign=aligned, disable_numparse=True)


def by_topic(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    """The figures of each topic, in their order."""
    topics: dict[str, list[Figure]] = {}
    for figure in figures:
        topics.setdefault(figure.topic, []).append(figure)
    return topics


def renewed(path: Path, figures: Sequence[Figure]) -> list[Figure]:
    """The figures, and before them those of other topics in the file, if there is one."""
    topics = {figure.topic for figure in figures}
    before = load(path) if path.exists() else []
    return [*(figure for figure in before if figure.topic not in topics), *figures]


def save(figures: Iterable[Figure], path: Path) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps({"figures": [asdict(f) for f in figures]}, indent=1) + "\n")


def load(path: Path) -> list[Figure]:
    """Read what `save` has written."""
    return [Figure(**figure) for figure in json.loads(path.read_text())["figures"]]
