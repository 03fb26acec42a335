"""Writes a recording: lines of JSON, in a file only its owner may read.

The file holds addresses and process names, hence mode 0600, and it is often written by root in a
directory that others may write, hence no symbolic link is followed. An existing file is
overwritten, as `tcpdump -w` does, but only when the first events reach it: a trace that could not
start destroys nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import zlib
from collections.abc import Callable

from tracer.events import Event
from tracer.recording import codec
from tracer.recording.errors import RecordingError, os_reason
from tracer.recording.names import GZ
from tracer.recording.sync import Syncer, sync_directory
from tracer.recording.target import is_regular, open_target, still_linked, unlink_if_same

FLUSH_NS = 700_000_000
"""How long an event may wait; with the wait of a live trace for the next one (schedule.IDLE_MS) a
kill -9 costs less than a second of events. A power loss costs the time of a sync more."""

BUFFER_BYTES = 256 << 10


class Writer:
    """Appends events to a recording; a name ending in ``.gz`` makes it a gzip file.

    ``path`` "-" is standard output. The constructor raises RecordingError when the file cannot be
    opened. Afterwards the first failure raises RecordingError and closes the file, and events
    written after that are dropped; only a closed pipe on standard output raises BrokenPipeError.
    ``now`` tells monotonic nanoseconds.
    """

    def __init__(self, path: str, now: Callable[[], int] = time.monotonic_ns) -> None:
        self.path = path
        self.size = 0
        """Bytes in the file so far, without what still waits."""
        self._now = now
        self._pending: list[bytes] = []
        self._bytes = 0
        self._oldest = 0
        self._begun = False
        self._gzip = zlib.compressobj(wbits=31) if path.endswith(GZ) else None
        self._fd, self._created = open_target(path)
        self._sync = Syncer(self._fd)

    @property
    def closed(self) -> bool:
        """True once closed or failed: nothing is written any more."""
        return self._fd < 0

    @property
    def regular(self) -> bool:
        """Whether it goes to a file with a length, and not to a device or a pipe."""
        return is_regular(self._fd)

    @property
    def status(self) -> os.stat_result:
        """What tells the open file from any other."""
        return os.fstat(self._fd)

    @property
    def waiting(self) -> int:
        """Bytes that have not reached the file yet, before they are compressed."""
        return self._bytes

    def write(self, event: Event) -> None:
        """Add an event; call `flush_due` often to have it reach the file in time."""
        self.write_line(codec.encode(event))

    def write_line(self, line: bytes) -> None:
        """Add an event as a line, with its newline: what a rewrite must not lose, as it was."""
        if self.closed:
            return
        if not self._pending:
            self._oldest = self._now()
        self._pending.append(line)
        self._bytes += len(line)
        if self._bytes >= BUFFER_BYTES:
            self.flush()

    def flush_due(self) -> None:
        """Flush if the oldest unwritten event has waited for `FLUSH_NS`."""
        if self._pending and self._now() - self._oldest >= FLUSH_NS:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the kernel, in a form a reader can read up to here."""
        if self.closed or not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._bytes = 0
        if self._gzip:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._put(data)
        if not still_linked(self._fd):
            self._abandon()
            raise RecordingError(f"{self.path}: was deleted while it was being written")

    def close(self) -> None:
        """Flush and close; harmless when done twice or after a failure."""
        self.flush()
        if self.closed:
            return
        if self._gzip and self._begun:
            self._put(self._gzip.flush(zlib.Z_FINISH))
        if self._created and not self._begun:
            unlink_if_same(self.path, self.status)
        fd, self._fd = self._fd, -1
        try:
            try:
                self._sync.close()
            finally:
                os.close(fd)  # a network file system may tell of a failed write only here
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be written: {os_reason(error)}") from None

    def _put(self, data: bytes) -> None:
        """Write all of it. Raises RecordingError after closing the file."""
        view = memoryview(data)
        try:
            if not self._begun:
                self._begin()
            while view:
                view = view[os.write(self._fd, view) :]
            self.size += len(data)
            self._sync.want()
        except OSError as error:
            self._abandon()
            if self.path == "-" and error.errno == errno.EPIPE:
                raise BrokenPipeError from None
            raise RecordingError(f"{self.path}: cannot be written: {os_reason(error)}") from None

    def _begin(self) -> None:
        self._begun = True
        _truncate(self._fd)
        if self._created:
            sync_directory(self.path)

    def _abandon(self) -> None:
        fd, self._fd = self._fd, -1
        self._pending.clear()
        with contextlib.suppress(OSError):
            self._sync.close()
        with contextlib.suppress(OSError):
            os.close(fd)


def _truncate(fd: int) -> None:
    try:
        os.ftruncate(fd, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a device or a pipe has no length
            raise
