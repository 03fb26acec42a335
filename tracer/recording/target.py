"""Opens the file a recording goes to, and refuses what must not be written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections import deque

from tracer.recording.errors import RecordingError, os_reason
from tracer.recording.place import PlantedLinkError, is_public, open_directory

_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_target(path: str) -> tuple[int, bool]:
    """A descriptor to write the recording to, and whether the file was made just now.

    The file is not truncated yet. "-" is a copy of standard output. Raises RecordingError.
    """
    try:
        if path == "-":
            return os.dup(1), False
        directory = open_directory(os.path.dirname(path))
        try:
            public = is_public(directory)
            fd, created = _open_or_create(directory, os.path.basename(path))
        finally:
            os.close(directory)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {_open_reason(error)}") from None
    try:
        _claim(path, fd, public=public)
    except BaseException:
        os.close(fd)
        raise
    return fd, created


def is_regular(fd: int) -> bool:
    """Whether it is a file with a length, and no device or pipe."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def still_linked(fd: int) -> bool:
    """False once a regular file has been deleted: what is written to it is lost at the end."""
    return os.fstat(fd).st_nlink > 0 or not is_regular(fd)


def unlink_if_same(path: str, status: os.stat_result) -> None:
    """Remove the file if the name still means the one with this status."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.lstat(path), status):
            os.unlink(path)


class Files:
    """The files written in turn by one trace, of which at most ``limit`` may be there."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._made: deque[tuple[str, os.stat_result]] = deque()

    def add(self, path: str, status: os.stat_result) -> None:
        """Remember a file as the latest."""
        if self._limit is not None:
            self._made.append((path, status))

    def make_room(self) -> list[str]:
        """Delete the oldest for one more to fit; what is another's file by now stays."""
        gone = []
        while self._limit is not None and len(self._made) >= self._limit:
            path, status = self._made.popleft()
            unlink_if_same(path, status)
            gone.append(path)
        return gone


def _open_or_create(directory: int, name: str) -> tuple[int, bool]:
    """Tell a file that was made from one that was there: O_CREAT alone cannot."""
    name = name or "."  # a path that ends with a slash names a directory
    try:
        return os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory), True
    except FileExistsError:
        return os.open(name, _FLAGS, dir_fd=directory), False


def _open_reason(error: OSError) -> str:
    if isinstance(error, PlantedLinkError):
        return str(error.strerror)
    if error.errno == errno.ELOOP:
        return "it is a symbolic link; name the file itself"
    if error.errno == errno.ENXIO:
        return "it is a pipe without a reader, or a socket"
    return os_reason(error)


def _claim(path: str, fd: int, *, public: bool) -> None:
    """Check what was opened, make it private and ours. Raises RecordingError."""
    status = os.fstat(fd)
    mode = status.st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise RecordingError(f"{path}: cannot be written: it is not a regular file")
    os.set_blocking(fd, True)
    if not stat.S_ISREG(mode):
        return
    if status.st_nlink > 1 or (public and status.st_uid != os.geteuid()):
        # Whose it is, or who has it by another name, reads what is written to it.
        raise RecordingError(
            f"{path}: cannot be written: it may be another user's file; name one that is not there"
        )
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RecordingError(f"{path}: another udptrace is writing it") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise RecordingError(f"{path}: cannot be locked: {os_reason(error)}") from None
    with contextlib.suppress(OSError):  # a file system without modes, or another owner's file
        os.fchmod(fd, 0o600)
