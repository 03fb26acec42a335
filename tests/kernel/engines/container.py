"""A container of any engine, and what an engine has to be able to do with one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Protocol

# Who does nothing, for as long as the tests take.
IDLE = ("sleep", "1000000")


class Engine(Protocol):
    """What a container asks of its engine."""

    def init(self, name: str) -> tuple[str, int]:
        """A container's full id, and its first process's pid on the host: 0 while stopped."""

    def stop(self, name: str) -> None:
        """Kill it; it can be started again."""

    def start(self, name: str) -> None:
        """Start it again."""

    def remove(self, name: str) -> None:
        """Take it away, running or not."""

    def exec_command(self, name: str) -> tuple[str, ...]:
        """The command that runs what is put behind it in a running container."""


@dataclass
class Container:
    """One container; a context manager that takes it away.

    ``pid`` is its first process on the host, 0 while it is stopped.
    """

    engine: Engine
    name: str
    id: str = ""
    pid: int = 0

    def __post_init__(self) -> None:
        self.refresh()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.remove()

    def refresh(self) -> None:
        """Ask the engine again who it is."""
        self.id, self.pid = self.engine.init(self.name)

    @property
    def netns(self) -> int:
        """The inode number of its network namespace."""
        return os.stat(f"/proc/{self.pid}/ns/net").st_ino

    def stop(self) -> None:
        """Kill it; `restart` starts it again."""
        self.engine.stop(self.name)
        self.pid = 0

    def restart(self) -> None:
        """Start it anew under the same name and id, in a new network namespace."""
        if self.pid:
            self.engine.stop(self.name)
        self.engine.start(self.name)
        self.refresh()

    def remove(self) -> None:
        """Take it away, running or not."""
        self.engine.remove(self.name)
        self.pid = 0

    def exec(self, *command: str) -> str:
        """What a command prints that is run in the container."""
        return subprocess.check_output([*self.engine.exec_command(self.name), *command], text=True)

    def start_process(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in the container, with a pipe to write to."""
        return subprocess.Popen(
            [*self.engine.exec_command(self.name), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
        )
