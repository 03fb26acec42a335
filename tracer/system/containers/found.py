"""What an engine's state tells of a container: who it is, and its first process while it runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

from tracer.containers import Container
from tracer.system.processes import start_of

# How much later than its process's start a state file's date may be behind the clock.
_SLACK_S = 2.0


@dataclass(frozen=True)
class Found:
    """A container. ``pid`` is its first process, 0 if it does not run; ``status`` is its engine's
    word for that; ``written``: when the engine wrote this (wall clock, seconds)."""

    container: Container
    pid: int
    status: str
    written: float

    @property
    def running(self) -> bool:
        """Whether it has a process that is still the one its engine told of.

        A machine that lost its power, or a daemon that is stuck, leaves numbers behind, and these
        are other processes' by then: which began after the number was written.
        """
        if not self.pid:
            return False
        start = start_of(self.pid)
        if not start:
            return False
        began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + start / 1e9
        return began <= self.written + _SLACK_S

    @property
    def netns(self) -> int | None:
        """The inode number of its network namespace; None when it is gone, or may not be read."""
        with suppress(OSError):
            return os.stat(f"/proc/{self.pid}/ns/net").st_ino if self.running else None
        return None
