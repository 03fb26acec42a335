"""A locked-down kernel. The last tests of all: it cannot be unlocked, and forbids every trace."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from tests.kernel.test_doctor import doctor
from tests.kernel_table import column_of, said_of

LOCKDOWN = Path("/sys/kernel/security/lockdown")

SAID = said_of(column_of(platform.release()))


@pytest.mark.parametrize("level", ["integrity", "confidentiality"])
def test_a_level_allows_a_trace_or_is_named(level: str) -> None:
    if not LOCKDOWN.exists():
        subprocess.run(["mount", "-t", "securityfs", "none", "/sys/kernel/security"], check=True)
    LOCKDOWN.write_text(level)
    told = doctor()
    assert told.findings["lockdown"]["facts"]["level"] == level
    starts = SAID[f"lockdown={level} allows a trace"] == "yes"
    assert told.starts() is starts
    if not starts:
        assert told.findings["lockdown"]["status"] == "broken"
        assert "lockdown=integrity" in told.conclusion["reason"]
