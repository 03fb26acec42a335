"""Small files of others, read within bounds: an engine's, or those of a user who runs one."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from itertools import islice
from typing import Any

from tracer.lru import Lru
from tracer.text import clean

_LARGEST = 16 << 20
"""Bytes of a file that is read: podman lists all containers in one."""

_OTHERS_LARGEST = 1 << 20
"""Bytes of one that is not root's: whoever has a home may have an engine's files in it, and what is
in a byte of JSON can take thirty of memory."""

_OTHERS_KEPT = 4 << 20
"""Bytes of such files that are remembered."""

_MOST_NAMES = 4096
"""Names of a directory that are looked at."""

_LONGEST = 256
"""Characters of a name that is kept."""

_KEPT = 4096
"""Files remembered."""


_Known = tuple[tuple[int, int, int], Any]
"""A file's time, size and number, and what is in it."""


class Files:
    """Remembers what was in a JSON file for as long as that has not changed. Not thread-safe."""

    def __init__(self) -> None:
        self._known: Lru[str, _Known] = Lru(_KEPT)
        self._others: dict[str, _Known] = {}
        """Those that are not root's, which are all forgotten when they become too large."""
        self._others_bytes = 0

    def json(self, path: str) -> Any:
        """What is in a JSON file; None where it cannot be read, or holds something else."""
        version = _version(path)
        if version is None:
            return None
        known = self._known.touch(path) or self._others.get(path)
        if known is None or known[0] != version:
            content, owner = _content(path, _LARGEST)
            known = (version, _parsed(content))
            if owner:
                self._remember_others(path, known, len(content))
            else:
                self._known.put(path, known)
        return known[1]

    def _remember_others(self, path: str, known: _Known, size: int) -> None:
        if self._others_bytes + size > _OTHERS_KEPT or len(self._others) >= _KEPT:
            self._others.clear()
            self._others_bytes = 0
        self._others[path] = known
        self._others_bytes += size


def read(path: str, limit: int = _LARGEST) -> bytes:
    """A regular file's content; empty where there is none, or one larger than ``limit`` bytes."""
    return _content(path, limit)[0]


def _content(path: str, limit: int) -> tuple[bytes, int]:
    """A regular file's content and its owner; empty and root's where there is none to read."""
    with suppress(OSError):
        # Neither a named pipe must make us wait, nor a link lead elsewhere.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                limit = min(limit, _OTHERS_LARGEST) if status.st_uid else limit
                content = file.read(limit + 1)
                return content if len(content) <= limit else b"", status.st_uid
    return b"", 0


def listed(directory: str) -> list[str]:
    """Names in a directory, sorted, as many as are looked at; none where it cannot be read."""
    with suppress(OSError), os.scandir(directory) as entries:
        return sorted(entry.name for entry in islice(entries, _MOST_NAMES))
    return []


def changed_at(path: str) -> float | None:
    """When a file was changed last, in seconds of the wall clock; None if it is not there."""
    with suppress(OSError):
        return os.stat(path, follow_symlinks=False).st_mtime
    return None


def field(value: Any, *names: str) -> Any:
    """A member of nested JSON objects; None where one on the way is missing or no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def word(value: Any) -> str | None:
    """A text that is not empty, bounded; None for anything else."""
    if not isinstance(value, str) or not value:
        return None
    return clean(value[:_LONGEST].encode("utf-8", "surrogatepass").decode("utf-8", "replace"))


def number(value: Any) -> int:
    """A process number; 0 for anything else."""
    return value if type(value) is int and 0 < value < 1 << 31 else 0


def _version(path: str) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = os.stat(path, follow_symlinks=False)
        return status.st_ctime_ns, status.st_size, status.st_ino
    return None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
