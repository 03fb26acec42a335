"""The table of scenarios (docs/scenarios.md) and the kernel tests are the same set."""

from __future__ import annotations

import re
from pathlib import Path

from tracer.causes import Cause

TOP = Path(__file__).resolve().parents[2]
TABLE = TOP / "docs/scenarios.md"

# Kernel tests of the tool itself, not of what happens to a datagram.
NOT_SCENARIOS = {
    "test_matcher.py",
    "test_matcher_vrf.py",
    "test_check.py",
    "test_doctor.py",
    "test_compiled.py",
    "test_maps.py",
    "test_failures.py",
    "test_privileges.py",
    "test_containers_follow.py",
    "test_containers_replay.py",
    "test_direction.py",
    "test_privileges_podman.py",
    "test_flight.py",
    "test_states.py",
    "test_top.py",
    "test_package.py",
    "test_recording.py",
    "test_sockets.py",
    "test_loss.py",
    "test_storm.py",
    "test_faults.py",
    "test_hostile.py",
    "test_lockdown.py",
    "test_walk_budget.py",
}


def rows() -> list[list[str]]:
    """The cells of each row, heads and rules aside."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("what happens", "---")]


def named_in(text: str) -> list[str]:
    return re.findall(r"`(test_\w+)`", text)


def scenario_functions() -> list[str]:
    """The kernel tests that are scenarios."""
    return [
        name
        for path in sorted((TOP / "tests/kernel").glob("test_*.py"))
        if path.name not in NOT_SCENARIOS
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    ]


def test_each_row_has_its_four_cells_and_a_test() -> None:
    assert len(rows()) > 40
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
        assert named_in(row[2]), row


def test_each_test_named_exists_and_none_is_missing() -> None:
    named = {name for row in rows() for name in named_in(" ".join(row[2:]))}
    assert named == set(scenario_functions())


def test_a_name_means_one_test() -> None:
    tests = scenario_functions()
    assert sorted(set(tests)) == sorted(tests)


def test_every_cause_has_a_scenario() -> None:
    words = {word for row in rows() for word in re.findall(r"`([\w-]+)`", row[1])}
    assert words == {cause.value for cause in Cause}
