"""Many misses alike, such as a port scan's: after the first few only their number is told, in text.

Alike are those for which nobody is there, of one sender to one address. Nothing is held back: a
line comes with the first that is folded, when they are ten times as many, and at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tracer.causes import Cause
from tracer.incident import Incident
from tracer.link import IncidentUpdate
from tracer.lru import Lru
from tracer.timefmt import NS

FULL = 4
"""So many alike are told in full, ..."""

AGAIN = 10
"""Their number is told again when they are so many times as many."""

APART_NS = 60 * NS
"""... and again when none has come for so long."""

_GROUPS = 1024
_FOLDED = 4096
"""Incidents remembered: more than the linker lets repeats join."""


class _Alike(NamedTuple):
    netns: tuple[int, int]
    cause: Cause
    src: str
    dst: str
    sender: tuple[int, int | None] | None
    """The process, by its number and start."""
    certain: bool


@dataclass(slots=True, eq=False)
class Fold:
    """Incidents alike, without the first ones; ``latest`` stands for them."""

    latest: Incident
    seen: int = 0
    """All of them, the first ones too."""
    misses: int = 0
    low: int = 65536
    high: int = 0
    """Ports they were sent to."""
    told: tuple[int, int] = (0, 0)
    """How many, and how many misses, when that was told last."""

    @property
    def count(self) -> int:
        """How many are folded."""
        return max(0, self.seen - FULL)

    def add(self, incident: Incident) -> None:
        """One more."""
        self.latest = incident
        self.seen += 1
        if self.count:
            port = incident.datagram.dport
            self.low, self.high = min(self.low, port), max(self.high, port)

    def is_due(self) -> bool:
        """Whether there are so many more than were told last; they are told then."""
        return self.count >= max(1, AGAIN * self.told[0]) and self.is_news()

    def is_news(self) -> bool:
        """Whether there are more than were told last; they are told then."""
        before, self.told = self.told, (self.count, self.misses)
        return self.count > 0 and before != self.told


class Folds:
    """What of the updates of a trace is folded; bounded."""

    def __init__(self) -> None:
        self._groups: Lru[_Alike, Fold] = Lru(_GROUPS)
        self._folded: Lru[str, Fold] = Lru(_FOLDED)
        """By the incident's id."""

    def take(self, update: IncidentUpdate) -> Fold | None:
        """Where an update is folded, from which its incident is not told; None: it is told."""
        incident, previous = update.incident, update.previous
        if previous is not None:
            fold = self._folded.touch(incident.id)
            if fold is not None:
                fold.misses += incident.count - previous.count
            return fold
        if incident.socket is not None:
            return None
        fold = self._group(incident)
        fold.add(incident)
        if not fold.count:
            return None
        fold.misses += incident.count
        self._folded.put(incident.id, fold)
        return fold

    def untold(self) -> Iterator[Fold]:
        """Those of which there are more than was told."""
        return (fold for fold in self._groups if fold.is_news())

    def _group(self, incident: Incident) -> Fold:
        origin, d = incident.origin, incident.datagram
        first = origin.processes[0] if origin and origin.processes else None
        sender = (first.pid, first.start) if first else None
        netns = (incident.netns.inum, incident.netns.cookie)
        alike = _Alike(netns, incident.cause, d.src, d.dst, sender, incident.certain)
        fold = self._groups.touch(alike)
        if fold is None or incident.mono_ns - fold.latest.mono_ns > APART_NS:
            fold = Fold(incident)
            self._groups.put(alike, fold)
        return fold
