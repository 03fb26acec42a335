"""Where the events of a live trace are kept."""

from __future__ import annotations

from typing import Protocol

from tracer.events import Event


class Sink(Protocol):
    """One file (writer), several in turn (rotation), or the latest minutes (ring).

    Each method raises RecordingError when the events cannot be kept any more, once.
    """

    def write(self, event: Event) -> None:
        """Keep the next event."""

    def flush_due(self) -> None:
        """Do what is to be done by now; called several times a second."""

    def close(self) -> None:
        """Keep what is left; harmless when done twice or after a failure."""
