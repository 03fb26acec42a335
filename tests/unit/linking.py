"""Feeding a linker in tests: events in, incidents out."""

from __future__ import annotations

from collections.abc import Iterable

from tests.unit.build import end, header
from tracer.events import Event
from tracer.incident import Incident
from tracer.link import IncidentUpdate, Linker


def updates(events: Iterable[Event], linker: Linker | None = None) -> list[IncidentUpdate]:
    """Everything a linker tells of the events."""
    linker = linker or Linker()
    return [update for event in events for update in linker.feed(event)]


def incidents(*events: Event, linker: Linker | None = None) -> list[Incident]:
    """The last version of each incident of a trace made of these events, in their order."""
    last: dict[str, Incident] = {}
    for update in updates([header(), *events, end(600_000)], linker):
        last[update.incident.id] = update.incident
    return list(last.values())


def only(*events: Event) -> Incident:
    """The one incident of a trace."""
    (incident,) = incidents(*events)
    return incident
