"""A flight recorder: the latest minutes of a trace, in memory until they are asked for.

The events are kept as lines, compressed by the chunk. What falls out of the ring leaves behind what
it told (tracer.recording.state); each file that is written begins with it, and is complete.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracer.events import End, Event
from tracer.recording import codec
from tracer.recording.errors import RecordingError
from tracer.recording.names import stamped
from tracer.recording.state import State
from tracer.recording.target import Files
from tracer.recording.writer import Writer
from tracer.summary import many
from tracer.timefmt import NS, duration_text

CHUNK_BYTES = 64 << 10
CHUNK_NS = 10 * NS

WORK_NS = 20_000_000
"""How long the writing of a file may keep a trace from its events at a time."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some lines in a row; ``size`` is theirs before they were compressed."""

    packed: bytes
    count: int
    size: int
    oldest: int
    newest: int

    def lines(self) -> list[bytes]:
        return zlib.decompress(self.packed).splitlines(keepends=True)


class Ring:
    """Keeps the events of the last ``span_ns``, at most ``max_bytes`` of lines.

    A file is written when ``asked`` gives a reason to, and at the end. At most ``max_files`` stay,
    the oldest is deleted. ``say`` takes a line for the user: what was written, what was not, and
    what fell out. ``utc`` tells seconds since 1970. The constructor raises RecordingError where no
    file can be written; `close` does if one could not be.
    """

    def __init__(
        self,
        path: str,
        span_ns: int,
        max_bytes: int,
        max_files: int,
        asked: Callable[[], str | None],
        say: Callable[[str], None],
        now: Callable[[], int] = time.monotonic_ns,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._span_ns = span_ns
        self._max_bytes = max_bytes
        self._asked = asked
        self._say = say
        self._now = now
        self._utc = utc
        self._chunks: deque[_Chunk] = deque()
        self._packed_bytes = 0
        self._size = 0
        self._lines: list[bytes] = []
        """Of the chunk that is being filled."""
        self._lines_size = 0
        self._oldest = self._newest = 0
        self._state = State()
        self._files = Files(max_files)
        self._number = 0
        self._cut_short = False
        """The ring is too small for its span."""
        self._ended = False
        self._writing: Iterator[None] | None = None
        self._failed = False
        self._closed = False
        Writer(self._next_name(), now).close()  # to fail now rather than in an incident

    @property
    def held_bytes(self) -> int:
        """Memory that the events in the ring take, nearly."""
        return self._packed_bytes + self._lines_size

    def write(self, event: Event) -> None:
        """Keep an event, and drop what is too old by it."""
        if self._closed:
            return
        line = codec.encode(event)
        if self._lines and event.time - self._oldest >= CHUNK_NS:
            self._pack()
        if not self._lines:
            self._oldest = event.time
        self._newest = max(self._newest, event.time)
        self._lines.append(line)
        self._lines_size += len(line)
        self._size += len(line)
        self._ended = isinstance(event, End)
        if self._lines_size >= CHUNK_BYTES:
            self._pack()
        self._drop()

    def flush_due(self) -> None:
        """Go on with a file that is being written, else begin one if it is asked for."""
        until = self._now() + WORK_NS
        if self._writing is None and (reason := self._asked()):
            self._writing = self._write_out(reason)
        while self._writing is not None and self._now() < until:
            self._go_on(self._writing)

    def close(self) -> None:
        """Write what the ring holds. Raises RecordingError if that, or an earlier file, failed."""
        if self._closed:
            return
        self._closed = True
        while self._writing is not None:
            self._go_on(self._writing)
        if self._size:
            self._writing = self._write_out("end of the trace")
        while self._writing is not None:
            self._go_on(self._writing)
        if self._failed:
            raise RecordingError(f"{self._path}: not all that was asked for could be written")

    # What is kept

    def _pack(self) -> None:
        packed = zlib.compress(b"".join(self._lines), 1)
        self._chunks.append(
            _Chunk(packed, len(self._lines), self._lines_size, self._oldest, self._newest)
        )
        self._packed_bytes += len(packed)
        self._lines = []
        self._lines_size = 0

    def _drop(self) -> None:
        while self._chunks:
            oldest = self._chunks[0]
            too_old = oldest.newest < self._newest - self._span_ns
            if not too_old and self._size <= self._max_bytes:
                return
            self._cut_short = not too_old
            self._chunks.popleft()
            self._packed_bytes -= len(oldest.packed)
            self._size -= oldest.size
            for line in oldest.lines():
                event = codec.decode(line).event
                assert not isinstance(event, codec.Unknown)  # it was encoded here
                self._state.take(event)

    # What is written

    def _go_on(self, writing: Iterator[None]) -> None:
        try:
            next(writing)
        except StopIteration:
            self._writing = None
        except RecordingError as error:
            self._writing, self._failed = None, True
            self._say(str(error))

    def _write_out(self, reason: str) -> Iterator[None]:
        """Write a file of what the ring holds now, some of it at each step."""
        chunks, last, ended = tuple(self._chunks), tuple(self._lines), self._ended
        oldest = chunks[0].oldest if chunks else self._oldest
        span, cut_short = self._newest - oldest, self._cut_short
        beginning = [codec.encode(event) for event in self._state.events(0, 0)]
        path = self._next_name()
        self._number += 1
        for gone in self._files.make_room():
            self._say(f"{gone}: deleted, as --max-files asks")
        writer = Writer(path, self._now)
        self._files.add(path, writer.status)
        try:
            for lines in (beginning, *map(_Chunk.lines, chunks), last):
                for line in lines:
                    writer.write_line(line)
                yield
            if not ended:
                writer.write(End(self._now(), reason))
        finally:
            writer.close()
        count = sum(chunk.count for chunk in chunks) + len(last)
        short = f"; --max-size is too small for {duration_text(self._span_ns)}" if cut_short else ""
        self._say(
            f"{path}: written ({reason}): {many(count, 'event')} of {duration_text(span)}{short}"
        )

    def _next_name(self) -> str:
        utc = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._utc()))
        return stamped(self._path, utc, self._number + 1)
