"""Counts by key, and what of each is of the current interval; bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from tracer.lru import Lru
from tracer.top.model import Figure

K = TypeVar("K")


@dataclass(slots=True)
class _Count:
    total: int = 0
    new: int = 0
    interval: int = 0


class Meter(Generic[K]):
    """Beyond ``limit`` keys the least recently counted is forgotten."""

    def __init__(self, limit: int) -> None:
        self._counts: Lru[K, _Count] = Lru(limit)
        self._interval = 0

    def add(self, key: K, count: int) -> None:
        """Count so many more."""
        found = self._counts.touch(key)
        if found is None:
            found = _Count(interval=self._interval)
            self._counts.put(key, found)
        if found.interval != self._interval:
            found.interval, found.new = self._interval, 0
        found.new += count
        found.total += count

    def figure(self, key: K) -> Figure:
        """What was counted of a key; nothing of one that is not there."""
        found = self._counts.get(key) or _Count()
        return Figure(found.new if found.interval == self._interval else 0, found.total)

    def forget(self, key: K) -> int:
        """Take a key out; returns its total."""
        found = self._counts.pop(key)
        return found.total if found is not None else 0

    def begin(self) -> None:
        """A new interval begins."""
        self._interval += 1
