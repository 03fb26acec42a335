"""The README, and the map of the files that it leads to, say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.causes import Cause

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.parametrize("cause", sorted(Cause))
def test_each_cause_is_in_the_table_with_its_meaning(cause: Cause) -> None:
    assert f"| `{cause}` | {cause.meaning} |" in README.read_text()


def test_every_path_of_the_file_map_exists() -> None:
    page = (README.parent / "docs/how-it-works.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    paths = [
        part.strip("` ") for row in rows for part in row.split("|")[1].split(",") if "/" in part
    ]
    assert len(paths) > 20
    for path in paths:
        assert (README.parent / path).exists(), path


def test_the_output_shown_is_a_real_runs() -> None:
    recorded = README.parent / "tests/recordings/v1/netcat.txt"
    assert f"```\n{recorded.read_text()}```" in README.read_text()
