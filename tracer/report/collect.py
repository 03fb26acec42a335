"""Reads the recordings of one boot of a host through the linker, and keeps what a report needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tracer.events import Clock, End, Event, Header, IcmpReceived, Miss, MissCount, SockError
from tracer.link import IncidentUpdate, Linker
from tracer.recording.joined import continues, news
from tracer.recording.reader import Reader
from tracer.report.model import ClockStep, Part, Trace
from tracer.select import Selection
from tracer.timefmt import Anchor

STEP_NS = 100_000_000
"""A wall clock that has moved so far against the monotonic one was set; less is adjustment."""

_STEPS = 16
"""Steps that are kept, the first ones."""

_BATCH = 1 << 20
"""Bytes of lines that are read before their events are linked."""

# What two recordings of the same time would tell twice.
_TOLD_TWICE = (Miss, MissCount, IcmpReceived, SockError)

Watch = Callable[[Reader, Iterable[Event]], Iterable[Event]]
"""Passes a file's events on, to show how far the reading has come."""


@dataclass(frozen=True)
class Source:
    """A boot of a host: its files in the order of time, and what of it is asked for.

    ``headers`` are those of the files, with the targets and filters asked for in place of their
    own.
    """

    paths: tuple[str, ...]
    headers: tuple[Header, ...]
    targets: frozenset[int]
    following: bool
    """Containers are followed: `tracer.targets`."""
    selection: Selection
    closed_window_ns: int


class Collector:
    """Feeds the files of a source to one linker; ``take`` gets what comes out."""

    def __init__(self, linker: Linker, take: Callable[[IncidentUpdate], None]) -> None:
        self._linker = linker
        self._take = take
        self._anchor: Anchor | None = None
        self._steps: list[ClockStep] = []
        self._began: int | None = None
        self._now = 0
        self._events = self._overlap = 0
        self._reason: str | None = None

    def trace(self, source: Source, watch: Watch) -> Trace:
        """Read all of it. Raises RecordingError."""
        parts: list[Part] = []
        for path, header in zip(source.paths, source.headers, strict=True):
            with Reader(path) as reader:
                before = parts[-1].header if parts else None
                parts.append(self._part(reader, header, before, watch))
        self._tell(self._linker.flush())
        first = source.headers[0]
        return Trace(
            host=first.host,
            boot_id=first.boot_id,
            parts=tuple(parts),
            began=self._began,
            ended=self._anchor.utc(self._now) if self._anchor else None,
            stats=self._linker.stats,
            clock_steps=tuple(self._steps),
            target_names=first.target_names,
            selection=first.selection,
        )

    def _part(self, reader: Reader, header: Header, before: Header | None, watch: Watch) -> Part:
        self._events, self._overlap, self._reason = 0, 0, None
        feed, tell, problems = self._linker.feed, self._tell, list[str]()
        events: Iterable[Event] = self._apart(reader)
        if before is not None and continues(before, reader.header):
            events = self._noted(event for _, event in news(reader, problems) if event is not None)
        for batch in _batches(reader, watch(reader, events)):
            for event in batch:
                if updates := feed(header if event is reader.header else event):
                    tell(updates)
        return Part(
            path=reader.path,
            header=reader.header,
            problems=(*problems, *reader.problems()),
            unknown=tuple(sorted(reader.unknown.items())),
            events=self._events,
            overlap=self._overlap,
            reason=self._reason,
        )

    def _apart(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events of a trace of its own, without what another of the same time has told."""
        until = self._now
        for event in self._noted(events):
            if event.time <= until and isinstance(event, _TOLD_TWICE):
                self._overlap += 1
            else:
                yield event

    def _noted(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events; notes the time that passes."""
        for self._events, event in enumerate(events, 1):
            if event.time > self._now:
                self._now = event.time
            match event:
                case Header() | Clock():
                    self._clock(event)
                case End():
                    self._reason = event.reason
            yield event

    def _clock(self, event: Header | Clock) -> None:
        """Keep the anchor, and see whether the wall clock was set."""
        anchor, before = Anchor.of(event), self._anchor
        self._anchor = anchor
        utc = anchor.utc(event.time)
        if self._began is None:
            self._began = utc
        if before is not None and len(self._steps) < _STEPS:
            step = utc - before.utc(event.time)
            if abs(step) >= STEP_NS:
                self._steps.append(ClockStep(utc, step))

    def _tell(self, updates: Iterable[IncidentUpdate]) -> None:
        for update in updates:
            self._take(update)


def _batches(reader: Reader, events: Iterable[Event]) -> Iterator[list[Event]]:
    """Some events at a time: to read and to link each in turn takes a fifth longer, since the
    processor then finds the code of neither at hand."""
    batch, until = list[Event](), reader.unpacked + _BATCH
    for event in events:
        batch.append(event)
        if reader.unpacked >= until:
            yield batch
            batch, until = [], reader.unpacked + _BATCH
    yield batch
