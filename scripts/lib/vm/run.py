"""Runs other programs: a build's output is progress at first and evidence when it fails."""

from __future__ import annotations

import collections
import contextlib
import subprocess

from .errors import VmError
from .progress import Progress

KEPT_LINES = 15
# Has the kernel end a child when scripts/vm ends, however that happens.
TIED = ("setpriv", "--pdeathsig", "KILL")


def run_logged(command: list[str], progress: Progress, stdin: str = "") -> str | None:
    """Run the command; None when it succeeded, else the last lines of what it printed."""
    last: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
    process = subprocess.Popen(
        [*TIED, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it ended early, and its output says why
            process.stdin.write(stdin)
            process.stdin.close()
        for line in map(str.strip, process.stdout):
            if line:
                last.append(line)
                progress.detail(line)
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    return None if process.returncode == 0 else "\n".join(last)


def run(command: list[str], what: str) -> str:
    """Run a short command and return its output; a failure is a VmError that says `what`."""
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode != 0:
        raise VmError(f"cannot {what}", (result.stderr or result.stdout).strip())
    return result.stdout
