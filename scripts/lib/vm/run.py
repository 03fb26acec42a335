"""Runs a build command: its output is progress while it runs and evidence when it fails."""

from __future__ import annotations

import collections
import subprocess

from .errors import VmError
from .progress import Progress

KEPT_LINES = 15


def run_logged(command: list[str], progress: Progress, stdin: str = "") -> str | None:
    """Run the command; None when it succeeded, else the last lines of what it printed."""
    last: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early, and its output says why
        for line in process.stdout:
            line = line.strip()
            if line:
                last.append(line)
                progress.detail(line)
    return None if process.returncode == 0 else "\n".join(last)


def run(command: list[str], what: str) -> str:
    """Run a short command and return its output; a failure is a VmError that says `what`."""
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode != 0:
        raise VmError(f"cannot {what}", (result.stderr or result.stdout).strip())
    return result.stdout
