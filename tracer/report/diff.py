"""What changed between two recordings: culprits, and how often they refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.causes import Cause
from tracer.report.model import Culprit, Ends, GroupKey, Report
from tracer.timefmt import NS

What = Literal["new", "more", "less", "same", "gone"]
ORDER: tuple[What, ...] = ("new", "more", "less", "same", "gone")


class DiffKey(NamedTuple):
    """What two recordings can have in common, of whatever host and boot."""

    cause: Cause
    netns: str
    culprit: Culprit
    ends: Ends


@dataclass(frozen=True, slots=True)
class Side:
    """One of the recordings, or what it has of a group. ``seconds`` are of trace time."""

    misses: int
    seconds: float

    @property
    def rate(self) -> float:
        """Misses a second; 0 for a trace without length, which can have had none."""
        return self.misses / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A group in both recordings."""

    key: DiffKey
    what: What
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class Diff:
    """All changes, the worst first."""

    before: Side
    after: Side
    changes: tuple[Change, ...]
    not_compared: int
    """Incidents of groups that one of the reports did not remember."""

    def count(self, what: What) -> int:
        """How many groups changed so."""
        return sum(change.what == what for change in self.changes)

    @property
    def more(self) -> bool:
        """The second recording has a new culprit, or one more often than before."""
        return self.count("new") > 0 or self.count("more") > 0


def diff(before: Report, after: Report, tolerance: float) -> Diff:
    """Compare; a rate that differs by no more than the ``tolerance`` (0.1: 10 %) is the same."""
    seconds = tuple(
        sum(trace.stats.duration for trace in one.traces) / NS for one in (before, after)
    )
    one, other = _misses(before), _misses(after)
    changes = []
    for key in {**one, **other}:
        left, right = Side(one.get(key, 0), seconds[0]), Side(other.get(key, 0), seconds[1])
        changes.append(Change(key, _what(left, right, tolerance), left, right))
    changes.sort(key=lambda c: (ORDER.index(c.what), -c.after.rate, -c.before.rate, c.key.netns))
    return Diff(
        before=Side(before.misses, seconds[0]),
        after=Side(after.misses, seconds[1]),
        changes=tuple(changes),
        not_compared=before.rest.incidents + after.rest.incidents,
    )


def _what(before: Side, after: Side, tolerance: float) -> What:
    if not before.misses:
        return "new"
    if not after.misses:
        return "gone"
    if after.rate > before.rate * (1 + tolerance):
        return "more"
    return "less" if after.rate < before.rate * (1 - tolerance) else "same"


def _misses(report: Report) -> dict[DiffKey, int]:
    found: dict[DiffKey, int] = {}
    for group in report.groups:
        key = _key(group.key)
        found[key] = found.get(key, 0) + group.misses
    return {key: misses for key, misses in found.items() if misses}


def _key(key: GroupKey) -> DiffKey:
    return DiffKey(key.cause, key.netns, key.culprit, key.ends)
