"""A session of probes whose counters are read whenever a snapshot is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tracer.events import Event
from tracer.top.consume import Top
from tracer.trace import Session


class CountedSession:
    """As tracer.trace.Session; ``step`` is called after each poll.

    The kernel's counters are else read once a second, which need not be when the interval ends:
    the rates would jump about.
    """

    def __init__(
        self,
        session: Session,
        top: Top,
        now: Callable[[], int],
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._top = top
        self._now = now
        self._step = step
        self.probes = session.probes
        self.unproven = session.unproven
        self.missing = session.missing

    @property
    def behind(self) -> bool:
        """As the session's."""
        return self._session.behind

    def poll(self, timeout_ms: int) -> list[Event]:
        """The next events in order; when a snapshot is due, with the counters as they are now."""
        events = self._session.poll(timeout_ms)
        self._step()
        if self._top.counts_due(self._now()):
            events = [*events, *self._session.drain()]
        return events

    def drain(self) -> list[Event]:
        """As the session's."""
        return self._session.drain()

    def keep_only(self, netns: Iterable[int] | None) -> None:
        """As the session's."""
        self._session.keep_only(netns)
