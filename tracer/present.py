"""Feeds the events of a trace to the linker, and writes what a renderer makes of what comes out.

The same in a live trace and in a replay, which is why both show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from tracer.events import End, Event
from tracer.link import IncidentUpdate, Linker
from tracer.totals import Stats


class Renderer(Protocol):
    """Turns what is shown of a trace into whole lines, or nothing (tracer.render)."""

    def event(self, event: Event) -> str:
        """An event of the trace, after the incidents that were due before it."""

    def update(self, update: IncidentUpdate) -> str:
        """An incident, new or changed."""


class Presenter:
    """The consumer of a trace's events.

    ``limit``: show no more distinct incidents than these. ``last`` makes what is written at the
    end of a trace that ended well. What ``write`` raises is passed on.
    """

    def __init__(
        self,
        linker: Linker,
        renderer: Renderer,
        write: Callable[[str], None],
        limit: int | None = None,
        last: Callable[[End, Stats], str] = lambda end, stats: "",
    ) -> None:
        self._linker = linker
        self._renderer = renderer
        self._write = write
        self._limit = limit
        self._last = last
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
        """Take the next event and show what follows from it."""
        text = [*self._updates(self._linker.feed(event)), self._renderer.event(event)]
        if isinstance(event, End):
            text.append(self._last(event, self.stats))
        self._put(text)

    def finish(self) -> None:
        """Show what is still held back, when no event comes any more."""
        self._put(self._updates(self._linker.flush()))

    def next_deadline(self) -> int | None:
        """When the passing of time alone will show something (monotonic ns); None for never."""
        return self._linker.next_deadline()

    def _put(self, text: Iterable[str]) -> None:
        if whole := "".join(text):
            self._write(whole)

    def _updates(self, updates: Iterable[IncidentUpdate]) -> Iterator[str]:
        for update in updates:
            if self._limit is None or self._wanted(update.incident.id):
                yield self._renderer.update(update)

    def _wanted(self, incident: str) -> bool:
        """Whether an incident is among the first ones, whose changes are shown, too."""
        if not self.full:
            self._shown.add(incident)
        return incident in self._shown
