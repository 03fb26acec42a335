"""The terminal scripts/vm was started on, lent to COMMAND while it runs."""

from __future__ import annotations

import os
import sys
import termios
import tty


class Terminal:
    """Our terminal: raw while COMMAND has it, and as it was afterwards."""

    def __init__(self) -> None:
        self._saved = termios.tcgetattr(sys.stdin)

    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        size = os.get_terminal_size(sys.stdin.fileno())
        return size.lines, size.columns

    def make_raw(self) -> None:
        """Pass every key to COMMAND, Ctrl-C too."""
        tty.setraw(sys.stdin)

    def restore(self) -> None:
        """Make the terminal as it was."""
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._saved)


def find() -> Terminal | None:
    """The terminal, when all three standard streams are on one."""
    if all(os.isatty(number) for number in (0, 1, 2)):
        return Terminal()
    return None
