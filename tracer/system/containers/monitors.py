"""The monitor that podman and CRI-O put above each container: conmon's own command line.

It names the container where nothing else does: a rootless one without a cgroup of its own, or one
whose state is kept elsewhere than usual.
"""

from __future__ import annotations

import os
from contextlib import suppress

from tracer.containers import Container
from tracer.system.containers.files import read, word
from tracer.system.processes import comm_of, parent_of

_COMM = "conmon"

_GENERATIONS = 64
"""Parents followed at most."""

_ARGUMENTS = 64 << 10
"""Bytes of a command line that are read."""


def monitored(pid: int) -> Container | None:
    """The container whose monitor is above a process; None where there is none.

    Only processes outside of containers are above one. Whoever can run a program called conmon can
    say so of the processes below it: the container is then said to be that user's.
    """
    for _ in range(_GENERATIONS):
        pid = parent_of(pid)
        if pid <= 1:
            return None
        if comm_of(pid) == _COMM:
            return _of(pid)
    return None


def _of(pid: int) -> Container | None:
    arguments = read(f"/proc/{pid}/cmdline", _ARGUMENTS).decode("utf-8", "surrogateescape")
    words = arguments.split("\0")
    identity = word(_after(words, "-c", "--cid"))
    with suppress(OSError):
        uid = os.stat(f"/proc/{pid}").st_uid
        if identity and os.path.basename(words[0]) == _COMM:
            name = word(_after(words, "-n", "--name"))
            return Container("podman", identity, name, None, uid=uid or None)
    return None


def _after(words: list[str], *options: str) -> str | None:
    """What follows an option."""
    found = (words[at + 1] for at, one in enumerate(words[:-1]) if one in options)
    return next(found, None)
