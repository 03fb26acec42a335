"""The completion scripts for bash, zsh and fish: click's, which ask the command itself."""

from __future__ import annotations

from collections.abc import Iterator

from click.shell_completion import ShellComplete, get_completion_class

from tracer.cli.completion import VARIABLE
from tracer.cli.main import udptrace
from tracer.cli.streams import PROG

FILES = {"bash": f"{PROG}.bash", "zsh": f"_{PROG}", "fish": f"{PROG}.fish"}


def completion_scripts() -> Iterator[tuple[str, str]]:
    """The file name and the content of each shell's script."""
    for shell, name in FILES.items():
        shape = get_completion_class(shell)
        if shape is None:
            raise LookupError(shell)
        # Not its own source(), for bash, which looks whether this machine's bash is new enough.
        yield name, ShellComplete.source(shape(udptrace, {}, PROG, VARIABLE)).lstrip()
