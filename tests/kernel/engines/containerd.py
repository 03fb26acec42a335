"""containerd, and its containers by ctr: in a namespace of containerd's, without any CNI."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.engines.commands import Daemon, Terminal, call
from tests.kernel.engines.container import IDLE, Container
from tests.kernel.engines.image import IMAGE
from tests.kernel.live import wait_for

SOCKET = "/run/containerd/containerd.sock"
FULL_IMAGE = f"docker.io/library/{IMAGE}"

_exec_id = itertools.count(1)


def listening(path: str) -> bool:
    """Whether somebody accepts connections on a Unix socket."""
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        return True
    return False


@contextlib.contextmanager
def containerd(directory: Path) -> Iterator[Daemon]:
    """The daemon, as Debian's unit starts it; its log is kept in the directory."""
    daemon = Daemon(["containerd"], directory / "containerd.log")
    try:
        wait_for(lambda: daemon.alive() and listening(SOCKET), "containerd")
        yield daemon
    finally:
        daemon.close()


class Ctr:
    """Containers by ctr in one of containerd's namespaces; takes them away at its end.

    A container's name is its id. Each has a network namespace of its own with loopback alone,
    unless its options say otherwise.
    """

    def __init__(self, namespace: str = "default") -> None:
        self.command = ("ctr", "-n", namespace)
        self._commands: dict[str, tuple[str, ...]] = {}
        self._terminals: list[Terminal] = []

    def __enter__(self) -> Ctr:
        return self

    def __exit__(self, *_exception: object) -> None:
        for terminal in self._terminals:
            terminal.close()
        for name in list(self._commands):
            self.remove(name)

    def call(self, *arguments: str) -> str:
        """What ctr prints. Raises AssertionError with its standard error."""
        return call(*self.command, *arguments)

    def load(self, archive: Path) -> None:
        """Load the image (image.py)."""
        self.call("image", "import", str(archive))

    def run(self, name: str, *command: str, options: tuple[str, ...] = ()) -> Container:
        """Start a container in the background; without a command it idles."""
        self._commands[name] = (*options, FULL_IMAGE, name, *(command or IDLE))
        self.call("run", "-d", "--null-io", *self._commands[name])
        return Container(self, name)

    def run_on_terminal(
        self, name: str, *command: str, options: tuple[str, ...] = ()
    ) -> tuple[Container, Terminal]:
        """``run -t`` with somebody at the terminal; returns when the container runs."""
        self._commands[name] = (*options, FULL_IMAGE, name, *command)
        terminal = Terminal(*self.command, "run", "-t", *self._commands[name])
        self._terminals.append(terminal)
        wait_for(lambda: self.init(name)[1] > 0, f"the container {name}")
        return Container(self, name), terminal

    def init(self, name: str) -> tuple[str, int]:
        """See Engine."""
        for line in self.call("task", "list").splitlines()[1:]:
            task, pid, status = line.split()
            if task == name:
                return name, int(pid) if status == "RUNNING" else 0
        return name, 0

    def stop(self, name: str) -> None:
        """See Engine."""
        self.call("task", "kill", "-s", "SIGKILL", name)
        wait_for(lambda: not self.init(name)[1], f"the end of {name}")
        self.call("task", "delete", name)

    def start(self, name: str) -> None:
        """See Engine."""
        self.call("task", "start", "-d", "--null-io", name)

    def remove(self, name: str) -> None:
        """See Engine."""
        del self._commands[name]
        with contextlib.suppress(AssertionError):  # its task may have ended, or never begun
            self.call("task", "delete", "-f", name)
        self.call("container", "delete", name)

    def exec_command(self, name: str) -> tuple[str, ...]:
        """See Engine."""
        return (*self.command, "task", "exec", "--exec-id", f"exec{next(_exec_id)}", name)
