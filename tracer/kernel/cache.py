"""What root's starts compiled and read, kept for the next: files that nobody else may write."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

DIRECTORY = Path("/var/cache/udptrace")

ROOT = 0
"""The user who keeps them: what another left there would be loaded with root's rights."""

KEPT = 16
"""Files kept, the latest: a kernel's offsets, its few variants of the probes, and of some kernels
before it."""

_SUFFIX = ".kept"
_LARGEST = 4 << 20


def read(key: str) -> bytes | None:
    """What was kept under a key; None: nothing, or nothing that root alone could have put there."""
    if os.geteuid() != ROOT:
        return None
    try:
        if not _is_roots_own(os.lstat(DIRECTORY), stat.S_IFDIR):
            return None
        with open(_path(key), "rb", opener=_no_link) as file:
            if not _is_roots_own(os.fstat(file.fileno()), stat.S_IFREG):
                return None
            data = file.read(_LARGEST)
    except OSError:
        return None
    digest, _, content = data.partition(b"\n")
    return content if digest == _digest(content) else None


def write(key: str, content: bytes) -> None:
    """Keep it, if this is root and the disk lets it: else the next start compiles again."""
    if os.geteuid() != ROOT:
        return
    with suppress(OSError):
        DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        if not _is_roots_own(os.lstat(DIRECTORY), stat.S_IFDIR):
            return
        _replace(_path(key), _digest(content) + b"\n" + content)
        _forget_the_oldest()


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all, for another start may read it at this moment."""
    import tempfile  # only now: a start that finds what it needs does not wait for it

    handle, temporary = tempfile.mkstemp(dir=DIRECTORY)
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _forget_the_oldest() -> None:
    files = sorted(DIRECTORY.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    for path in files[:-KEPT]:
        path.unlink()


def _is_roots_own(status: os.stat_result, kind: int) -> bool:
    """Of this kind, root's, and for nobody else to write."""
    return (
        stat.S_IFMT(status.st_mode) == kind and status.st_uid == ROOT and not status.st_mode & 0o022
    )


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _path(key: str) -> Path:
    return DIRECTORY / f"{key}{_SUFFIX}"


def _digest(content: bytes) -> bytes:
    """A file that a crash cut short is not the bytecode it was."""
    return hashlib.sha256(content).hexdigest().encode()
