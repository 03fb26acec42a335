"""Reads a recording event by event, in flat memory, and says what is wrong with the file."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, cast

from tracer.events import End, Event, Header
from tracer.recording import codec
from tracer.recording.codec import CodecError, Unknown
from tracer.recording.errors import RecordingError, os_reason

GZIP_MAGIC = b"\x1f\x8b"

MOST_PACKED = 200
"""Bytes of lines to a compressed byte; a trace reaches 40 at most, a bomb a thousand."""

MOST_DAMAGED = 200_000
"""Damaged lines in a row after which nothing more is expected of a file."""

FREE_BYTES = codec.MAX_LINE
"""Before so much has been read, no ratio is held against a file."""


class _Counted:
    """A file that knows how many bytes were read from it, which a pipe cannot tell."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


class Reader:
    """The events of a recording, its header first; iterate once.

    ``path`` may be "-" for standard input; a gzip file is recognised by its content. Opening
    raises RecordingError when the file cannot be read, is not a recording of udptrace, or has a
    newer format. Damage further on does not stop the reading: `problems` tells it afterwards.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.damaged = 0
        """Lines skipped because they are not events."""
        self.torn = False
        """The last line, or the compressed stream, stops in the middle."""
        self.ended = False
        """The End event was there."""
        self.unknown: Counter[str] = Counter()
        """How often each kind or field occurred that this version does not know."""
        self.unpacked = 0
        """Bytes of lines read so far."""
        self._first_damage = ""
        self._trailing = ""
        self._number = 0
        self._first = b""
        self._in_a_row = 0
        """Damaged lines since the last whole one."""
        self._raw = _open(path)
        self._packed = _Counted(self._raw)
        self._file = self._raw
        try:
            if _is_gzip(path, self._raw):
                packed = cast("BinaryIO", self._packed)
                self._file = cast("BinaryIO", gzip.GzipFile(fileobj=packed, mode="rb"))
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when done twice."""
        self._file.close()
        self._raw.close()

    @property
    def position(self) -> int:
        """Bytes of the file read so far, compressed ones of a compressed file."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[Event]:
        for _, event in self.records():
            if event is not None:
                yield event

    def records(self) -> Iterator[tuple[bytes, Event | None]]:
        """Each line without its newline, with its event; None for what is not understood here.

        A rewrite that passes the lines on loses nothing of what a newer udptrace has written.
        """
        yield self._first, self.header
        while (line := self._line()) is not None:
            event = self._event(line)
            if self._in_a_row >= MOST_DAMAGED:
                self._trailing = f"line {self._number}: nothing but damage; the rest was not read"
                return
            if isinstance(event, Header):
                # What follows is another trace: its identities and times mean something else.
                self._trailing = f"line {self._number}: another recording begins; not read"
                return
            if isinstance(event, End):
                self.ended = True
            yield line, event

    def problems(self) -> list[str]:
        """What was wrong with the file, a line each; complete once the iteration has ended."""
        said = []
        if self.damaged:
            what = "line is" if self.damaged == 1 else "lines are"
            said.append(f"{self.damaged} {what} damaged and skipped ({self._first_damage})")
        if self.unknown:
            names = ", ".join(f"{name} ({n})" for name, n in sorted(self.unknown.items()))
            said.append(f"made by a newer udptrace; not understood here: {names}")
        if self.torn:
            said.append("the end of the file is cut off: its last line was not read")
        if self._trailing:
            said.append(self._trailing)
        if not self.ended:
            said.append("there is no end record: the trace was killed or is still running")
        return [f"{self.path}: {line}" for line in said]

    def _read_header(self) -> Header:
        foreign = RecordingError(f"{self.path}: not a recording of udptrace")
        line = self._line()
        if line is None:
            if self.torn or self._number:
                raise foreign
            raise RecordingError(f"{self.path}: empty, not a recording of udptrace")
        self._first = line
        try:
            body = codec.parse(line)
        except CodecError:
            raise foreign from None
        if body.get("kind") != Header.kind or body.get("tool") != "udptrace":
            raise foreign
        version = body.get("format")
        if type(version) is int and version > codec.FORMAT:
            raise RecordingError(
                f"{self.path}: recording format {version} is newer than this udptrace reads"
                f" ({codec.FORMAT}): use the udptrace that made it, or a newer one"
            )
        try:
            decoded = codec.decode(line)
        except CodecError as error:
            raise RecordingError(f"{self.path}: the header is damaged: {error}") from None
        self.unknown.update(decoded.extra.keys())
        return cast("Header", decoded.event)

    def _event(self, line: bytes) -> Event | None:
        """The event of a line; None, and counted, when there is none to be had from it."""
        try:
            decoded = codec.decode(line)
        except CodecError as error:
            self._damage(str(error))
            return None
        self._in_a_row = 0
        if decoded.extra:
            self.unknown.update(decoded.extra.keys())
        if isinstance(decoded.event, Unknown):
            self.unknown[decoded.event.kind] += 1
            return None
        return decoded.event

    def _damage(self, why: str) -> None:
        self.damaged += 1
        self._in_a_row += 1
        self._first_damage = self._first_damage or f"line {self._number}: {why}"

    def _line(self) -> bytes | None:
        """The next whole line without its newline; None at the end of what is whole."""
        while line := self._readline():
            self._number += 1
            if line.endswith(b"\n"):
                return line[:-1]
            if len(line) <= codec.MAX_LINE:
                self.torn = True
                return None
            if self._number == 1 or not self._skip_line():
                self.torn = self._number != 1
                return None
            self._damage(f"longer than {codec.MAX_LINE} bytes")
        return None

    def _skip_line(self) -> bool:
        """Read to the end of a line that is too long; False when the file ends before it."""
        while chunk := self._readline():
            if chunk.endswith(b"\n"):
                return True
        return False

    def _readline(self) -> bytes:
        """Up to MAX_LINE + 1 bytes of a line; b"" at the end or where a gzip stream breaks."""
        try:
            line = self._file.readline(codec.MAX_LINE + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            # A trace killed with -9 leaves a gzip stream without its end.
            self.torn = True
            return b""
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be read: {os_reason(error)}") from None
        self.unpacked += len(line)
        return b"" if self._is_bomb() else line

    def _is_bomb(self) -> bool:
        """Whether a compressed file holds more than any trace has written into so few bytes."""
        if self._file is self._raw or self.unpacked < FREE_BYTES:
            return False
        bomb = self.unpacked > MOST_PACKED * self._packed.count
        if bomb:
            self._trailing = "compressed beyond what a recording can be; the rest was not read"
        return bomb


def _open(path: str) -> BinaryIO:
    """The file as it is. Raises RecordingError."""
    if path == "-":
        if sys.stdin is None:
            raise RecordingError(f"{path}: cannot be read: standard input is closed")
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {os_reason(error)}") from None


def _is_gzip(path: str, file: BinaryIO) -> bool:
    """Whether it is compressed, by its content. Raises RecordingError."""
    try:
        return cast("io.BufferedReader", file).peek(2)[:2] == GZIP_MAGIC
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {os_reason(error)}") from None
