"""Engines with docker's command line: docker itself, podman, and podman without root."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.kernel.engines.commands import Terminal, call
from tests.kernel.engines.container import IDLE, Container
from tests.kernel.engines.image import IMAGE
from tests.kernel.live import wait_for

# The first process of a container ignores SIGTERM, and every stop would wait ten seconds for it.
KILLED = ("--stop-signal=SIGKILL",)


class DockerLike:
    """Containers by a command line such as docker's; a context manager that takes them away."""

    def __init__(self, *command: str) -> None:
        self.command = command
        self._names: list[str] = []
        self._terminals: list[Terminal] = []

    def __enter__(self) -> DockerLike:
        return self

    def __exit__(self, *_exception: object) -> None:
        for terminal in self._terminals:
            terminal.close()
        if self._names:
            self.call("rm", "-f", *self._names)

    def call(self, *arguments: str) -> str:
        """What the engine's command prints. Raises AssertionError with its standard error."""
        return call(*self.command, *arguments)

    def load(self, archive: Path) -> None:
        """Load the image (image.py)."""
        self.call("load", "-i", str(archive))

    def run(self, name: str, *command: str, options: tuple[str, ...] = ()) -> Container:
        """Start a container in the background; without a command it idles."""
        self._names.append(name)
        self.call("run", "-d", "--name", name, *KILLED, *options, IMAGE, *(command or IDLE))
        return Container(self, name)

    def run_on_terminal(
        self, name: str, *command: str, options: tuple[str, ...] = ()
    ) -> tuple[Container, Terminal]:
        """``run -it`` with somebody at the terminal; returns when the container runs."""
        self._names.append(name)
        arguments = ("run", "-it", "--name", name, *KILLED, *options, IMAGE, *command)
        terminal = Terminal(*self.command, *arguments)
        self._terminals.append(terminal)
        wait_for(lambda: self._runs(name), f"the container {name}")
        return Container(self, name), terminal

    def _runs(self, name: str) -> bool:
        with contextlib.suppress(AssertionError):  # it is not there yet
            return self.init(name)[1] > 0
        return False

    def init(self, name: str) -> tuple[str, int]:
        """See Engine."""
        identity, pid = self.call(
            "container", "inspect", "-f", "{{.Id}} {{.State.Pid}}", name
        ).split()
        return identity, int(pid)

    def stop(self, name: str) -> None:
        """See Engine."""
        self.call("stop", name)

    def start(self, name: str) -> None:
        """See Engine."""
        self.call("start", name)

    def remove(self, name: str) -> None:
        """See Engine."""
        self.call("rm", "-f", name)
        self._names.remove(name)

    def exec_command(self, name: str) -> tuple[str, ...]:
        """See Engine."""
        return (*self.command, "exec", "-i", name)
