"""When which episode is due: deadlines in event time, in the order they were set."""

from __future__ import annotations

from heapq import heappop, heappush

from tracer.episode import Episode


class Deadlines:
    """At most one deadline for an episode, kept in its ``due``."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Episode]] = []
        self._pushed = 0

    def set(self, episode: Episode, due: int) -> None:
        """Make an episode due at a time, and at no other."""
        episode.due = due
        self._pushed += 1
        heappush(self._heap, (due, self._pushed, episode))

    def next(self) -> int | None:
        """The earliest deadline; entries whose episode has another one by now are dropped."""
        while self._heap and self._heap[0][2].due != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Episode:
        """Take the episode of the earliest deadline, which `next` has just told."""
        episode = heappop(self._heap)[2]
        episode.due = None
        return episode
