"""The limits of what the linker remembers, and the totals of what it has told."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.silence import NetnsSilence


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is remembered; beyond it the least recently used is forgotten, and counted."""

    sockets: int = 16384
    closed: int = 4096
    """Closed sockets, within the closed window."""
    namespaces: int = 4096
    keys: int = 65536
    """Misses whose totals are remembered."""
    incidents: int = 2048
    """Misses whose repeats still join an incident."""
    settling: int = 4096
    """Misses held at a time; beyond it the oldest is judged early."""
    errors: int = 1024
    """Flows with errors told whose miss is not counted yet."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The totals of a trace so far, as far as told. ``duration`` is nanoseconds of event time."""

    duration: int
    misses: int
    incidents: int
    sockets: int
    """Open sockets known."""
    probes: int
    losses: dict[str, int]
    """How many of each kind were lost, by the names of `events.LOSSES`."""
    forgotten: dict[str, int]
    """What went beyond the limits, in words; only what is not 0."""
    untold: int = 0
    """Of the misses, those known to have been told to nobody."""
    untold_exact: bool = True
    """Whether there are no more of them."""
    silence: tuple[NetnsSilence, ...] = ()
    """What died without any ICMP, by network namespace."""

    @property
    def silent(self) -> int:
        """How many datagrams died silently, in all namespaces."""
        return sum(part.deaths for part in self.silence)
