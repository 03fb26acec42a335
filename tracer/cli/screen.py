"""The terminal of `top`: drawn with curses, its keys read, and given back as it was."""

from __future__ import annotations

import curses
import sys
from contextlib import suppress

from tracer.top.display import Display


def why_not() -> str | None:
    """Why a table cannot be drawn on standard output; None if it can."""
    for stream, words in ((sys.stdout, "output"), (sys.stdin, "input")):
        if stream is None or not stream.isatty():
            return f"standard {words} is no terminal"
    try:
        curses.setupterm(fd=sys.stdout.fileno())
    except curses.error:
        return "TERM names no terminal that is known here"
    return None if curses.tigetstr("cup") else "the terminal cannot move its cursor"


class Screen:
    """From `begin` to `end` the terminal is the table's."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._window: curses.window | None = None
        self.quit = False
        """The user has had enough."""

    @property
    def taken(self) -> bool:
        """Whether the terminal is the table's now."""
        return self._window is not None

    def end(self) -> None:
        """Give the terminal back, if it was taken."""
        if self._window is not None:
            self._window = None
            curses.endwin()

    def begin(self) -> None:
        """Take the terminal and draw."""
        self._window = curses.initscr()
        curses.noecho()
        curses.cbreak()
        self._window.keypad(True)
        self._window.nodelay(True)
        with suppress(curses.error):  # a terminal that cannot hide its cursor shows it
            curses.curs_set(0)
        self.draw()

    def step(self) -> None:
        """Obey the keys that were pressed, and the terminal's new size."""
        if self._window is None:
            return
        pressed = False
        while (key := self._window.getch()) != -1:
            pressed = True  # a resize comes as a key
            if 0 <= key < 128 and self._display.press(chr(key)):
                self.quit = True
        if pressed:
            self.draw()

    def draw(self) -> None:
        """Draw what is to be seen now."""
        window = self._window
        if window is None:
            return
        height, columns = window.getmaxyx()
        # The last column is left free: a character there would move the cursor on.
        lines, heads = self._display.lines(columns - 1, height)
        window.erase()
        for number, text in enumerate(lines):
            bold = number in (0, height - 1)
            style = curses.A_REVERSE if number == heads else curses.A_BOLD if bold else 0
            window.addstr(number, 0, _encodable(text, window.encoding), style)
        window.refresh()


def _encodable(text: str, encoding: str) -> str:
    """The text without what a terminal of this encoding cannot show."""
    return text.encode(encoding, "replace").decode(encoding)
