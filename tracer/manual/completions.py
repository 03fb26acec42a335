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
        script = shape(udptrace, {}, PROG, VARIABLE)
        # Not its own source(), for bash, which looks whether this machine's bash is new enough.
        text = ShellComplete.source(script).lstrip()
        yield name, _autoloaded(text, script.func_name) if shell == "zsh" else text


def _autoloaded(text: str, function: str) -> str:
    """The script as the body of a function that zsh loads and calls: click's completes nothing at
    the first or the second time, at which it is to be told that it has been loaded."""
    definition, end, _ = text.partition("\n}\n")
    return f'{definition}{end}\n{function} "$@"\n'
