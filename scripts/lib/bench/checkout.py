"""This checkout: where it is, and Python code run on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]


def run_python(code: str, argument: Path) -> subprocess.CompletedProcess[str]:
    """The code's output, with the distribution's Python, which has BCC."""
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(argument)],
        capture_output=True,
        text=True,
        check=False,
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
    )
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip().splitlines()[-1]}")
    return done
