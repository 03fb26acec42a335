"""The command from outside, run to its end: as it is, or with an invented kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REAL = (sys.executable, "-m", "tracer")
FAKE = (sys.executable, "-m", "tests.unit.fake_udptrace")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": ""}


def run(
    *arguments: str, command: tuple[str, ...] = REAL, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    environment = {**ENVIRONMENT, **options.pop("env", {})}
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(
        [*command, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
        timeout=60,
        **options,
    )


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line with which it failed, without the program's name."""
    assert done.returncode == code, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("udptrace: ")
    return line.removeprefix("udptrace: ")


def wait_until(true: Callable[[], object]) -> None:
    """Wait for something that must become true."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
