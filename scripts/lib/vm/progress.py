"""Progress of a build: a changing line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

EVERY_SECONDS = 5.0


class Progress:
    """Says on stderr what is being built and how far it is."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = time.monotonic()
        self.said_at = 0.0
        self.on_terminal = sys.stderr.isatty()
        self.line_is_open = False

    def step(self, text: str) -> None:
        """Say what is done now, at once."""
        self._say(text)

    def detail(self, text: str) -> None:
        """Say how far the step is; most calls print nothing, so that logs stay short."""
        wait = 0.2 if self.on_terminal else EVERY_SECONDS
        if time.monotonic() - self.said_at >= wait:
            self._say(text)

    def done(self, text: str) -> None:
        """Say the end of the build and how long it took."""
        self._say(f"{text} ({time.monotonic() - self.start:.0f} s)")
        self.close()

    def close(self) -> None:
        """End the open line on a terminal, so that other text starts on its own line."""
        if self.line_is_open:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self.line_is_open = False

    def _say(self, text: str) -> None:
        self.said_at = time.monotonic()
        line = f"vm: {self.what}: {text}"
        if self.on_terminal:
            sys.stderr.write(f"\r\033[K{line[:110]}")
            self.line_is_open = True
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
