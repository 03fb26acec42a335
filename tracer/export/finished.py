"""Incidents as they stand at last: held back while they may still change, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.incident import Incident
from tracer.link import IncidentUpdate
from tracer.lru import Lru

LIMIT = 4096
"""More than a linker remembers (totals.Limits.incidents): what it may still change is here."""


class Finished:
    """Takes updates, and hands each incident on once, as last told."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._open: Lru[str, Incident] = Lru(limit)
        self.late = 0
        """Updates of incidents that had been handed on already."""

    def take(self, update: IncidentUpdate) -> list[Incident]:
        """An update; returns the incidents that had to make room."""
        incident = update.incident
        if update.previous is not None and incident.id not in self._open:
            self.late += 1
            return []
        return self._open.put(incident.id, incident)

    def rest(self) -> Iterator[Incident]:
        """All that are still held, by their time."""
        return iter(sorted(self._open, key=lambda incident: incident.mono_ns))
