"""The monitor that podman and CRI-O put above each container: conmon's own command line.

It names the container where nothing else does: a rootless one without a cgroup of its own, or one
whose state is kept elsewhere than usual.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from tracer.system.containers.files import read, word
from tracer.system.processes import parent_of

_PROGRAM = "conmon"

_GENERATIONS = 64
"""Parents followed at most."""

_ARGUMENTS = 64 << 10
"""Bytes of a command line that are read."""


@dataclass(frozen=True)
class Monitor:
    """What a conmon says of its container, and whose it is (None: root's).

    Whoever can run a program called conmon can say so of the processes below it: what it says is
    true of that user's containers at most.
    """

    id: str
    name: str | None
    uid: int | None


def monitor_of(pid: int, proc: str = "/proc") -> Monitor | None:
    """The monitor above a process; None where there is none."""
    for _ in range(_GENERATIONS):
        pid = parent_of(pid, proc)
        if pid <= 1:
            return None
        arguments = read(f"{proc}/{pid}/cmdline", _ARGUMENTS).decode("utf-8", "surrogateescape")
        words = arguments.split("\0")
        if os.path.basename(words[0]) == _PROGRAM:
            return _said(words, owner_of(pid, proc))
    return None


def owner_of(pid: int, proc: str) -> int | None:
    """The user of a process; None if it is gone."""
    with suppress(OSError):
        return os.stat(f"{proc}/{pid}").st_uid
    return None


def _said(words: list[str], uid: int | None) -> Monitor | None:
    identity = word(_after(words, "-c", "--cid"))
    if identity is None or uid is None:
        return None
    return Monitor(identity, word(_after(words, "-n", "--name")), uid or None)


def _after(words: list[str], *options: str) -> str | None:
    """What follows an option."""
    found = (words[at + 1] for at, one in enumerate(words[:-1]) if one in options)
    return next(found, None)
