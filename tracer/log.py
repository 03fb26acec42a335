"""The log of a live trace: each event goes to the recording, then to who shows it.

One order for both is what makes a replay show the same as the live trace did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from tracer.events import Event
from tracer.lookups import Lookups
from tracer.recording.errors import RecordingError
from tracer.recording.sink import Sink


class Consumer(Protocol):
    """Who is fed the log, live and in replay (tracer.present)."""

    @property
    def full(self) -> bool:
        """As many incidents as were asked for have been shown."""

    def feed(self, event: Event) -> None:
        """Take the next event."""

    def next_deadline(self) -> int | None:
        """When the passing of time alone will have it act (monotonic ns); None for never."""


class Log:
    """Takes the events of a live trace, one by one.

    ``say`` takes a line for the user. With ``recording_only`` a recording that cannot be written
    raises RecordingError; else the trace goes on without it, which is said once.
    """

    def __init__(
        self,
        consumer: Consumer,
        lookups: Lookups,
        say: Callable[[str], None],
        writer: Sink | None = None,
        recording_only: bool = False,
    ) -> None:
        self.recording_failed = False
        self._consumer = consumer
        self._lookups = lookups
        self._say = say
        self._writer = writer
        self._recording_only = recording_only

    @property
    def satisfied(self) -> str | None:
        """Why no further event is wanted, in the words of events.End; None if one is."""
        return "count" if self._consumer.full else None

    def put(self, event: Event) -> None:
        """Take the next event."""
        self.record(event)
        self._lookups.note(event)
        self._consumer.feed(event)

    def put_all(self, events: Iterable[Event]) -> None:
        """Take events in their order, as long as any are wanted."""
        for event in events:
            if self.satisfied:
                return
            self.put(event)

    def record(self, event: Event) -> None:
        """Write to the recording alone."""
        if self._writer:
            self._guarded(lambda writer: writer.write(event))

    def flush_due(self) -> None:
        """Let the recording reach the disk if it has waited long enough."""
        self._guarded(lambda writer: writer.flush_due())

    def close(self) -> None:
        """Close the recording."""
        self._guarded(lambda writer: writer.close())

    def _guarded(self, action: Callable[[Sink], None]) -> None:
        if self._writer is None:
            return
        try:
            action(self._writer)
        except RecordingError as error:
            self.recording_failed = True
            if self._recording_only:
                raise
            self._say(f"{error}; the trace goes on without its recording")
