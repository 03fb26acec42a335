"""Which processes hold a socket, from /proc/PID/fd. Anything there may vanish at any moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress

from tracer.events import Holder

SCAN_NS = 1_000_000_000
"""A whole scan of /proc is made at most this often (monotonic nanoseconds)."""

SCAN_SHARE = 10
"""And takes at most one part in this many of the time: scans of a large machine are slow."""

_HINTS = 64
"""Hints followed at a time, at most; beyond that a whole scan is cheaper."""

_FAMILY = 64
"""Relatives of hinted processes looked at, at most."""

Holders = dict[int, tuple[Holder, ...]]


class OwnerFinder:
    """Finds the holders of sockets by inode, cheaply where a hint is right."""

    def __init__(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = now
        self._next_scan = 0

    def find(self, inodes: Iterable[int], hint_pids: Iterable[int] = ()) -> Holders:
        """The holders of the sockets that could be looked up now; empty for one nobody holds.

        Processes of the hints, their parents and their children are looked at first, since a
        socket is often passed on by fork. For what is left the whole of /proc is scanned, unless
        that was done a moment ago: those inodes are then missing from the answer, so ask again.
        """
        wanted = set(inodes)
        found = holders_in(_with_relatives(hint_pids), wanted) if wanted else {}
        wanted -= found.keys()
        if wanted and self._now() >= self._next_scan:
            found.update(self.scan(wanted))
        return found

    def scan(self, inodes: Collection[int]) -> Holders:
        """The holders of all these sockets, from the whole of /proc, whenever it was last done."""
        began = self._now()
        found = holders_in(all_pids(), inodes)
        ended = self._now()
        self._next_scan = ended + max(SCAN_NS, SCAN_SHARE * (ended - began))
        return {inode: found.get(inode, ()) for inode in inodes}


class NoOwners(OwnerFinder):
    """Finds nobody, and so claims of no socket that nobody holds it."""

    def find(self, inodes: Iterable[int], hint_pids: Iterable[int] = ()) -> Holders:
        """Nothing."""
        return {}

    def scan(self, inodes: Collection[int]) -> Holders:
        """Nothing."""
        return {}


def all_pids() -> list[int]:
    """The processes that /proc shows, in ascending order."""
    with suppress(OSError):
        return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    return []


def holders_in(pids: Iterable[int], inodes: Collection[int]) -> Holders:
    """The holders among these processes of these sockets; sockets without one are left out."""
    found: dict[int, list[Holder]] = {}
    for pid in pids:
        for inode, holder in _held_by(pid, inodes):
            found.setdefault(inode, []).append(holder)
    return {inode: tuple(holders) for inode, holders in found.items()}


def _held_by(pid: int, inodes: Collection[int]) -> list[tuple[int, Holder]]:
    """Which of these sockets a process holds, by inode and descriptor."""
    try:
        directory = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        held = sorted((i, fd) for i, fd in _sockets_in(directory) if i in inodes)
        if not held:
            return []
        comm, start_ns = comm_of(pid), start_of(pid)
        # One that ended meanwhile may have left its number, and these, to another; the directory
        # it has left to nobody.
        if not any(_socket_at(directory, str(fd)) == inode for inode, fd in held):
            return []
        return [(inode, Holder(pid, comm, fd, start_ns)) for inode, fd in held]
    finally:
        os.close(directory)


def _sockets_in(directory: int) -> Iterator[tuple[int, int]]:
    """(inode, fd) of each socket in an open /proc/PID/fd."""
    with suppress(OSError):
        for fd in os.listdir(directory):
            inode = _socket_at(directory, fd)
            if inode is not None:
                yield inode, int(fd)


def _socket_at(directory: int, fd: str) -> int | None:
    """The inode of the socket that a descriptor is; None where it is none, or gone."""
    try:
        link = os.readlink(fd, dir_fd=directory)
    except OSError:
        return None
    return int(link[8:-1]) if link.startswith("socket:[") else None


def comm_of(pid: int) -> str:
    """The process's name; empty if it is gone."""
    return _read(f"/proc/{pid}/comm").removesuffix(b"\n").decode("utf-8", "backslashreplace")


def start_of(pid: int) -> int:
    """When the process started: CLOCK_BOOTTIME nanoseconds, in clock ticks; 0 if it is gone."""
    fields = _stat_fields(pid)
    # Field 22 of proc_pid_stat(5); the fields here begin with the third.
    if len(fields) < 20 or not fields[19].isdigit():
        return 0
    return int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def parent_of(pid: int, proc: str = "/proc") -> int:
    """The process's parent; 0 if it has none, or is gone."""
    fields = _stat_fields(pid, proc)
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0


def _stat_fields(pid: int, proc: str = "/proc") -> list[bytes]:
    """/proc/PID/stat after the name, which is in parentheses and may hold some, and spaces."""
    return _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()


def _with_relatives(pids: Iterable[int]) -> list[int]:
    """The processes, then their parents, then their descendants, each once, bounded."""
    given = list(dict.fromkeys(pids))[:_HINTS]
    parents = list(filter(None, map(parent_of, given)))
    family = list(dict.fromkeys([*given, *parents]))
    queue = list(given)
    while queue and len(family) < len(given) + _FAMILY:
        for child in _children_of(queue.pop()):
            if child not in family:
                family.append(child)
                queue.append(child)
    return family


def _children_of(pid: int) -> Iterator[int]:
    """The children of each thread; none where the kernel does not list them (PROC_CHILDREN)."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def _read(path: str) -> bytes:
    with suppress(OSError), open(path, "rb") as file:
        return file.read()
    return b""
