"""Starts scripts/vm's Python part (a file of its own, so that `vm` is importable as a package)."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from vm.cli import main
from vm.errors import SignalError


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends a build; while a guest runs, session.py passes signals on to it instead."""
    raise SignalError(number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    sys.exit(main(sys.argv[1:]))
