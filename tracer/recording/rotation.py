"""A recording in several files of a bounded size, each complete by itself.

A file after the first begins with what was known then (tracer.recording.state) and with the last
seconds of the one before: an incident at the seam has all that belongs to it in one of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from tracer.events import End, Event
from tracer.recording import codec
from tracer.recording.errors import RecordingError
from tracer.recording.names import GZ, numbered
from tracer.recording.state import State
from tracer.recording.target import Files
from tracer.recording.writer import Writer

OVERLAP_NS = 2_000_000_000
"""How much of a file the next one repeats, beside the time that a miss is held."""

OVERLAP_BYTES = 4 << 20


class _Recent(NamedTuple):
    event: Event
    line: bytes


class Rotation:
    """Writes FILE, FILE.1, FILE.2 and so on, of at most ``max_bytes`` each.

    Half of a file at least is its own, however much is carried over: where that is very much, the
    files are larger than asked for, rather than little else. ``max_files``: so many are kept, the
    oldest is deleted. ``settle_ns``: how long a miss is held for what belongs to it. Raises
    RecordingError like a Writer.
    """

    def __init__(
        self,
        path: str,
        max_bytes: int,
        max_files: int | None = None,
        settle_ns: int = 0,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._overlap_ns = OVERLAP_NS + settle_ns
        self._overlap_bytes = min(OVERLAP_BYTES, max_bytes // 4)
        self._now = now
        self._part = 0
        self._state = State()
        self._recent: deque[_Recent] = deque()
        self._recent_bytes = 0
        self._latest = 0
        self._begun_with = 0
        """Bytes that the present file began with, which are no news."""
        self._files = Files(max_files)
        self._writer = Writer(path, now)
        if not self._writer.regular:
            self._writer.close()
            raise RecordingError(f"{path}: not a regular file: it cannot be rotated by --max-size")

    def write(self, event: Event) -> None:
        """Add an event, in the next file where this one is full."""
        if self._writer.closed:
            return
        line = codec.encode(event)
        if self._is_full(len(line)):
            self._next()
        self._writer.write_line(line)
        self._remember(event, line)

    def flush_due(self) -> None:
        """As Writer.flush_due."""
        self._writer.flush_due()

    def close(self) -> None:
        """As Writer.close."""
        self._writer.close()

    def _is_full(self, more: int) -> bool:
        # Of a compressed file only the size of what has been flushed is known.
        waiting = 0 if self._path.endswith(GZ) else self._writer.waiting + more
        size = self._writer.size + waiting
        news = size - self._begun_with
        return size > self._max_bytes and news >= max(self._max_bytes // 4, self._begun_with)

    def _remember(self, event: Event, line: bytes) -> None:
        self._latest = max(self._latest, event.time)
        self._recent.append(_Recent(event, line))
        self._recent_bytes += len(line)
        while self._recent and (
            self._recent_bytes > self._overlap_bytes
            or self._recent[0].event.time < self._latest - self._overlap_ns
        ):
            old = self._recent.popleft()
            self._recent_bytes -= len(old.line)
            self._state.take(old.event)

    def _next(self) -> None:
        """Begin the next file, then end this one. Raises RecordingError with both closed."""
        full = self._writer
        self._part += 1
        self._files.add(full.path, full.status)
        self._files.make_room()
        try:
            self._writer = self._begun()
        except RecordingError as error:
            with suppress(RecordingError):
                self._end(full, f"failed: {error}")
            raise
        try:
            self._end(full, "continued")
        except RecordingError:
            self._writer.close()
            raise

    def _begun(self) -> Writer:
        """The next file with all that is no news in it."""
        fresh = Writer(numbered(self._path, self._part), self._now)
        for event in self._state.events(self._part, len(self._recent)):
            fresh.write(event)
        for _, line in self._recent:
            fresh.write_line(line)
        fresh.flush()
        self._begun_with = fresh.size
        return fresh

    def _end(self, writer: Writer, reason: str) -> None:
        writer.write(End(self._now(), reason))
        writer.close()
