"""Feeds the events of a trace to the linker, and what comes out to a renderer.

The same in a live trace and in a replay, which is why both show the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tracer.events import Event
from tracer.link import IncidentUpdate, Linker, Stats


class Renderer(Protocol):
    """Shows incidents, and those events that are shown themselves (tracer.render)."""

    def event(self, event: Event) -> None:
        """An event of the trace, after the incidents that were due before it."""

    def update(self, update: IncidentUpdate) -> None:
        """An incident, new or changed."""


class Presenter:
    """The consumer of a trace's events. ``limit``: show no more distinct incidents than these."""

    def __init__(self, linker: Linker, renderer: Renderer, limit: int | None = None) -> None:
        self._linker = linker
        self._renderer = renderer
        self._limit = limit
        self._shown: set[str] = set()

    @property
    def full(self) -> bool:
        """As many incidents as were asked for have been shown; these may still change."""
        return self._limit is not None and len(self._shown) >= self._limit

    @property
    def stats(self) -> Stats:
        """The totals so far."""
        return self._linker.stats

    def feed(self, event: Event) -> None:
        """Take the next event and show what follows from it. Raises what the renderer raises."""
        self._show(self._linker.feed(event))
        self._renderer.event(event)

    def finish(self) -> None:
        """Show what is still held back, when no event comes any more."""
        self._show(self._linker.flush())

    def next_deadline(self) -> int | None:
        """When the passing of time alone will show something (monotonic ns); None for never."""
        return self._linker.next_deadline()

    def _show(self, updates: Iterable[IncidentUpdate]) -> None:
        for update in updates:
            if self._limit is None or self._wanted(update.incident.id):
                self._renderer.update(update)

    def _wanted(self, incident: str) -> bool:
        """Whether an incident is among the first ones, whose changes are shown, too."""
        if not self.full:
            self._shown.add(incident)
        return incident in self._shown
