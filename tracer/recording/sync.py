"""Has a file reach the disk, in a thread: a slow disk must not keep a trace from its events."""

from __future__ import annotations

import contextlib
import errno
import os
import threading

from tracer.recording.target import is_regular

_NOT_ON_A_DISK = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class Syncer:
    """Syncs a file whenever it is wanted; harmless for what is no regular file."""

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd) if is_regular(fd) else -1
        self._wanted = threading.Event()
        self._over = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        if self._fd >= 0:
            self._thread.start()

    def want(self) -> None:
        """Have what has been written so far on the disk soon. Raises an earlier sync's OSError."""
        self._wanted.set()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Wait for the last sync. Raises its OSError."""
        if self._fd < 0:
            return
        self._over = True
        self._wanted.set()
        self._thread.join()
        os.close(self._fd)
        self._fd = -1
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        last = False
        while not last and self._error is None:
            self._wanted.wait()
            self._wanted.clear()
            last = self._over
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                if error.errno not in _NOT_ON_A_DISK:
                    self._error = error


def sync_directory(path: str) -> None:
    """Have the name of a new file on the disk, too; where that cannot be, it is not needed."""
    with contextlib.suppress(OSError):
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
