"""Opens the file a recording goes to, and refuses what must not be written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from tracer.recording.errors import RecordingError, os_reason

_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_target(path: str) -> tuple[int, bool]:
    """A descriptor to write the recording to, and whether the file was made just now.

    The file is not truncated yet. "-" is a copy of standard output. Raises RecordingError.
    """
    try:
        if path == "-":
            return os.dup(1), False
        fd, created = _open_or_create(path)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {_open_reason(error)}") from None
    try:
        _claim(path, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd, created


def still_linked(fd: int) -> bool:
    """False once a regular file has been deleted: what is written to it is lost at the end."""
    status = os.fstat(fd)
    return status.st_nlink > 0 or not stat.S_ISREG(status.st_mode)


def unlink_if_same(path: str, fd: int) -> None:
    """Remove the file if the name still means the one that is open."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.lstat(path), os.fstat(fd)):
            os.unlink(path)


def _open_or_create(path: str) -> tuple[int, bool]:
    """Tell a file that was made from one that was there: O_CREAT alone cannot."""
    try:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(path, _FLAGS), False


def _open_reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link; name the file itself"
    if error.errno == errno.ENXIO:
        return "it is a pipe without a reader, or a socket"
    return os_reason(error)


def _claim(path: str, fd: int) -> None:
    """Check what was opened, make it private and ours. Raises RecordingError."""
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise RecordingError(f"{path}: cannot be written: it is not a regular file")
    os.set_blocking(fd, True)
    if not stat.S_ISREG(mode):
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RecordingError(f"{path}: another udptrace is writing it") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise RecordingError(f"{path}: cannot be locked: {os_reason(error)}") from None
    with contextlib.suppress(OSError):  # a file system without modes, or another owner's file
        os.fchmod(fd, 0o600)
