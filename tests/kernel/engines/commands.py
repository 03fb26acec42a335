"""Programs that engines are driven by: run to their end, in the background, or on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.kernel.live import DEADLINE_S


def call(*command: str) -> str:
    """What a command prints. Raises AssertionError with its standard error when it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd="/"
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout.strip()


class Daemon:
    """A program in the background, ended by SIGTERM; what it prints is kept in a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/"
            )

    def alive(self) -> bool:
        """Whether it still runs. Raises AssertionError with its last words when it does not."""
        ended = self.process.poll()
        assert ended is None, f"exit status {ended}: {self.log.read_text()[-2000:]}"
        return True

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(DEADLINE_S)


class Terminal:
    """A program on a pseudo-terminal of its own, for what somebody would type into it."""

    def __init__(self, *command: str) -> None:
        self._keyboard, inner = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, cwd="/", start_new_session=True
        )
        os.close(inner)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._keyboard, f"{line}\n".encode())

    def close(self) -> None:
        """Hang up, and see it gone."""
        self.process.kill()
        self.process.wait(DEADLINE_S)
        os.close(self._keyboard)
