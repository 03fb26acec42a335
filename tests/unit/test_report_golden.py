"""What every form of a report says of a real recording; GOLDEN=write renews what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.test_golden import GOLDEN, compare
from tracer.cli.main import udptrace

RECORDING = Path(__file__).resolve().parents[1] / "recordings/v1/netcat.udptrace"


@pytest.fixture(autouse=True)
def _beside_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reports name the file as it was given."""
    monkeypatch.chdir(RECORDING.parent)


@pytest.mark.parametrize(
    ("output", "suffix"), [("text", "txt"), ("markdown", "md"), ("json", "jsonl"), ("html", "html")]
)
def test_the_report_on_a_real_recording(output: str, suffix: str) -> None:
    done = CliRunner().invoke(udptrace, ["report", "-f", output, RECORDING.name])
    assert (done.exit_code, done.stderr) == (0, "")
    compare(GOLDEN / f"report/netcat.{suffix}", done.stdout)


def test_the_text_is_readable_in_80_columns() -> None:
    text = (GOLDEN / "report/netcat.txt").read_text()
    assert max(map(len, text.splitlines())) <= 80
