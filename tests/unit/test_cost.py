"""What README and docs/overhead.md say of costs is what scripts/bench has measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts/lib"))

from bench.figures import (  # noqa: E402
    INSTRUCTIONS,
    SECONDS,
    Figure,
    by_topic,
    load,
    renewed,
    save,
    table,
)
from bench.pages import KEPT, PLACE, filled  # noqa: E402
from bench.targets import FIXED, with_targets  # noqa: E402

FIGURES = load(KEPT)


@pytest.mark.parametrize("page", ["README.md", "docs/overhead.md"])
def test_the_pages_figures_are_those_kept(page: str) -> None:
    """After a new run: python3 -m bench.pages, with PYTHONPATH=scripts/lib."""
    text = (TOP / page).read_text()
    assert PLACE.search(text)
    assert filled(text, FIGURES) == text


def test_each_topic_measured_has_its_table() -> None:
    shown = {m["what"] for m in PLACE.finditer((TOP / "docs/overhead.md").read_text())}
    assert shown == set(by_topic(FIGURES))


def test_the_targets_are_those_of_today() -> None:
    assert with_targets(FIGURES) == FIGURES
    assert FIXED.keys() <= {(f.topic, f.row, f.column) for f in FIGURES}


def test_a_missed_target_shows() -> None:
    met = Figure("start", "udptrace", "took", 1.234, SECONDS, 2)
    assert met.cell() == "1.23 s (target 2.00 s)"
    missed = Figure("start", "udptrace", "path", 12345.6, INSTRUCTIONS, 850)
    assert missed.cell() == "12,346 MISSED (target 850)"


def test_a_table_has_a_row_for_each_subject_and_its_gaps_are_empty() -> None:
    figures = [Figure("t", "one", "a", 1, INSTRUCTIONS), Figure("t", "two", "b", 2, INSTRUCTIONS)]
    assert table(figures, "plain").splitlines() == ["       a    b", "one    1", "two         2"]


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    save(FIGURES, tmp_path / "figures.json")
    assert load(tmp_path / "figures.json") == FIGURES


def test_a_run_of_some_topics_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    one, two = (Figure(topic, "row", "column", 1, INSTRUCTIONS) for topic in ("one", "two"))
    assert renewed(path, [one]) == [one]
    save([one, two], path)
    assert renewed(path, [replace(one, value=2)]) == [two, replace(one, value=2)]
