"""A mapping that forgets its least recently used entries, and counts what it forgot."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most ``limit`` entries; ``forgotten`` counts those that had to go to keep to it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = 0
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[V]:
        """The values, least recently used first."""
        return iter(self._entries.values())

    def items(self) -> Iterator[tuple[K, V]]:
        """The entries, least recently used first."""
        return iter(self._entries.items())

    def get(self, key: K) -> V | None:
        """The value without making it recently used."""
        return self._entries.get(key)

    def touch(self, key: K) -> V | None:
        """The value, now the most recently used."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: K, value: V) -> list[V]:
        """Set the value as the most recently used; returns the values forgotten for it."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        gone = []
        while len(self._entries) > self.limit:
            gone.append(self._entries.popitem(last=False)[1])
            self.forgotten += 1
        return gone

    def pop(self, key: K) -> V | None:
        """Take the entry out; this is not forgetting."""
        return self._entries.pop(key, None)

    def expire(self, is_over: Callable[[V], bool]) -> None:
        """Take out the least recently used values that are over; this is not forgetting."""
        while self._entries and is_over(next(iter(self._entries.values()))):
            self._entries.popitem(last=False)

    def oldest(self) -> V | None:
        """The least recently used value."""
        return next(iter(self._entries.values()), None)
