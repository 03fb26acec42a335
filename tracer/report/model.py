"""What a report says: the traces, the groups of incidents, what was lost; frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.causes import Cause
from tracer.events import Header
from tracer.incident import Incident
from tracer.parts import Netns
from tracer.totals import Stats


class Culprit(NamedTuple):
    """Who refused, in terms that outlive a process: the same in the next recording.

    ``kind`` "socket": ``process`` holds it (None: not known) and ``at`` is its port; "nobody": no
    socket, ``at`` the port; "caller": ``at`` the kernel function that sent the ICMP; "machine":
    ``at`` the address of another machine.
    """

    kind: Literal["socket", "nobody", "caller", "machine"]
    process: str | None
    at: str


class Ends(NamedTuple):
    """A pair of ends; a port is None where the kernel chooses a new one each time."""

    src: str
    sport: int | None
    dst: str
    dport: int | None


class GroupKey(NamedTuple):
    """What the incidents of a group have in common; ``netns`` is in words."""

    cause: Cause
    host: str
    boot_id: str
    netns: str
    culprit: Culprit
    ends: Ends


@dataclass(frozen=True, slots=True)
class Bins:
    """Misses over time: ``counts`` of spans of ``width`` ns, the first from ``start`` (UTC ns)."""

    start: int
    width: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """That a miss of one host was told on another: the incident there, whose times were moved.

    ``offset`` nanoseconds were taken from them: that host's clock is so much ahead.
    """

    host: str
    boot_id: str
    id: str
    offset: int


@dataclass(frozen=True, slots=True)
class Sample:
    """An incident kept of a group."""

    incident: Incident
    joined: Joined | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Incidents alike. Times are UTC nanoseconds, None where not known."""

    key: GroupKey
    netns: Netns
    incidents: int
    misses: int
    untold: int
    uncertain: int
    """Incidents whose verdict is in doubt."""
    joined: int
    """Incidents of which another host's recording had the other half."""
    first: int | None
    last: int | None
    bins: Bins | None
    samples: tuple[Sample, ...]
    """The first incidents; the rest is in the counts only."""

    @property
    def misses_per_s(self) -> float | None:
        """Misses a second between the first and the last; None where there is no span."""
        if self.first is None or self.last is None or self.last <= self.first:
            return None
        return self.misses * 1_000_000_000 / (self.last - self.first)


@dataclass(frozen=True, slots=True)
class Rest:
    """What went beyond the groups that are remembered."""

    incidents: int
    misses: int
    causes: tuple[tuple[str, int], ...]
    """(cause, misses) pairs."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock was set: by how much (ns, forwards positive), seen at (UTC ns, after it)."""

    time: int
    step: int


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a trace."""

    path: str
    header: Header
    problems: tuple[str, ...]
    unknown: tuple[tuple[str, int], ...]
    """(kind or field, how often) of what a newer udptrace wrote."""
    events: int
    overlap: int
    """Misses and errors left out because the file before has that time, too."""
    reason: str | None
    """Why it ended; None without an end record."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one boot of a host recorded, in one file or several."""

    host: str
    boot_id: str
    parts: tuple[Part, ...]
    began: int | None
    ended: int | None
    stats: Stats
    clock_steps: tuple[ClockStep, ...]
    target_names: tuple[str, ...]
    """What the report is limited to; empty for everything."""
    selection: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the clock of one host is ahead of another's, from incidents both have recorded.

    Nanoseconds. ``median`` of the ``pairs``, which lie between ``low`` and ``high``. Each has the
    way of the ICMP in it, or with the hosts the other way round takes it away.
    """

    host: str
    behind: str
    pairs: int
    median: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report."""

    traces: tuple[Trace, ...]
    groups: tuple[Group, ...]
    """Most misses first."""
    rest: Rest
    bins: tuple[tuple[str, Bins], ...]
    """(cause, its misses over time): the same spans for all of them."""
    offsets: tuple[Offset, ...]
    unjoined: int
    """Incidents that could not be looked at for another host's half: too many to remember."""

    @property
    def misses(self) -> int:
        """All of them."""
        return sum(group.misses for group in self.groups) + self.rest.misses

    @property
    def incidents(self) -> int:
        """All of them; one that two hosts have recorded once."""
        return sum(group.incidents for group in self.groups) + self.rest.incidents
