"""A dictionary that forgets its oldest entries, so that a long trace stays small."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SIZE = 1 << 16
"""Entries kept, at most: more sockets and namespaces than a machine has at one time."""


class Recent(dict[K, V]):
    """Like dict; entries are put in by `remember` alone, which makes an entry the newest."""

    def remember(self, key: K, value: V) -> None:
        """Put an entry in, or anew; the oldest goes when there are too many."""
        self.pop(key, None)
        self[key] = value
        if len(self) > SIZE:
            del self[next(iter(self))]
