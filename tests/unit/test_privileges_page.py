"""docs/privileges.md and the table of capabilities say the same."""

from __future__ import annotations

import re
from pathlib import Path

from tracer.kernel.capabilities import CAPABILITIES

PAGE = Path(__file__).resolve().parents[2] / "docs/privileges.md"


def rows() -> dict[str, list[str]]:
    """The cells of each capability's row, by its name."""
    lines = re.findall(r"^\| `(CAP_\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in lines}


def test_every_capability_has_its_row_and_no_other() -> None:
    assert list(rows()) == [c.name for c in CAPABILITIES]


def test_the_rows_say_what_the_command_says() -> None:
    for capability in CAPABILITIES:
        _, without = rows()[capability.name]
        if capability.use:
            assert without == f"no trace starts: {capability.use} needs it"
        elif capability.lost:
            assert without == capability.lost


def test_what_serves_as_well_is_named() -> None:
    for capability in CAPABILITIES:
        needed_by, _ = rows()[capability.name]
        for other in capability.instead:
            assert f"`{other}`" in needed_by, capability.name


def test_the_commands_give_all_that_the_table_has() -> None:
    """Each block to copy is of one of the two sets that the page describes."""
    text = PAGE.read_text()
    blocks = re.findall(r"(?:^    .*\n?)+", text, re.MULTILINE)
    names = {c.name for c in CAPABILITIES if c.use or c.lost}
    given = [
        {f"CAP_{word.upper()}" for word in re.findall(r"(?:CAP_|--cap-add=|\+)(\w+)", block, re.I)}
        for block in blocks
        if re.search(r"cap", block, re.I)
    ]
    assert len(given) == 2
    for block in given:
        assert block == names - {"CAP_SYS_ADMIN"}, block ^ names
