"""Several files as the traces they are of: the parts of one trace read as one recording."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator

from tracer.errors import UsageError
from tracer.events import CARRIED_OVER, Carried, End, Event, Header
from tracer.recording.reader import Reader


def traces(paths: Iterable[str]) -> list[tuple[str, ...]]:
    """The files grouped by trace, in the order in which they are given.

    Files of one trace that follow each other without a gap are one group, in the order of their
    parts. Raises RecordingError for a file that cannot be read or is no recording.
    """
    paths = tuple(dict.fromkeys(paths))
    if len(paths) == 1:
        return [paths]  # without a second look, which standard input would not allow
    if "-" in paths:
        raise UsageError("-: standard input cannot be joined with files; name it alone")
    headers = {path: _header(path) for path in paths}
    by_trace: dict[tuple[object, ...], list[str]] = {}
    for path, header in headers.items():
        by_trace.setdefault(trace_of(header), []).append(path)
    found: list[tuple[str, ...]] = []
    for group in by_trace.values():
        group.sort(key=lambda path: headers[path].part)
        run = group[:1]
        for before, path in itertools.pairwise(group):
            if not continues(headers[before], headers[path]):
                found.append(tuple(run))
                run = []
            run.append(path)
        found.append(tuple(run))
    return found


class Joined:
    """The events of one trace from its parts in their order, each event once; iterate once.

    As a Reader: `header`, `ended` and `problems`. Raises RecordingError.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths
        self._first = Reader(paths[0])
        self._problems: list[str] = []
        self.header = self._first.header
        self.ended = False
        """The End event of the trace, or of its last part here, was there."""

    def __enter__(self) -> Joined:
        return self

    def __exit__(self, *exc: object) -> None:
        self._first.close()

    def __iter__(self) -> Iterator[Event]:
        yield from self._part(self._first, self._first.records())
        for path in self._paths[1:]:
            with Reader(path) as reader:
                yield from self._part(reader, news(reader, self._problems))

    def problems(self) -> list[str]:
        """What was wrong with the files, a line each; complete once the iteration has ended."""
        part = self.header.part
        if not part:
            return self._problems
        missing = f"{self._paths[0]}: part {part} of its trace: what came before is in other files"
        return [missing, *self._problems]

    def _part(
        self, reader: Reader, records: Iterator[tuple[bytes, Event | None]]
    ) -> Iterator[Event]:
        last = reader.path == self._paths[-1]
        for _, event in records:
            if event is None or (not last and isinstance(event, End)):
                continue
            yield event
        self._problems += reader.problems()
        self.ended = last and reader.ended


def news(reader: Reader, problems: list[str]) -> Iterator[tuple[bytes, Event | None]]:
    """The lines that a part of a trace adds to the part before it; adds to the problems."""
    records = reader.records()
    next(records)  # the header, as the first part has it
    for line, event in records:
        if isinstance(event, Carried):
            return itertools.islice(records, _count(event.repeated), None)
        if event is not None and not isinstance(event, CARRIED_OVER):
            problems.append(
                f"{reader.path}: the line where its own events begin is damaged:"
                " the last ones of the file before are read twice"
            )
            return itertools.chain([(line, event)], records)
    return records


def continues(before: Header, header: Header) -> bool:
    """Whether a file holds what comes right after another one of the same trace."""
    return trace_of(before) == trace_of(header) and header.part == before.part + 1


def trace_of(header: Header) -> tuple[object, ...]:
    """What the files of one trace have in common, and those of no other."""
    return header.host, header.boot_id, header.time


def _count(number: int) -> int:
    """A number from a file as one that can be counted to."""
    return max(0, min(number, sys.maxsize))


def _header(path: str) -> Header:
    with Reader(path) as reader:
        return reader.header
