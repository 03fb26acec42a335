"""The trace itself: its header, its clocks, what one file carries over from another, its end."""

from __future__ import annotations

from typing import ClassVar, Literal

from tracer.events.kernel import Call, Close, SockError
from tracer.events.pieces import (
    SocketView,
    Task,
)
from tracer.frozen import frozen


@frozen
class Header:
    """First event of a trace: where it comes from, and how its times become UTC."""

    kind: ClassVar[str] = "header"
    time: int
    format: int
    """Version of the recording format."""
    tool: str
    version: str
    host: str
    boot_id: str
    kernel: str
    machine: str
    argv: tuple[str, ...]
    targets: tuple[int, ...]
    """Inode numbers of the network namespaces asked for; empty for all of them."""
    target_names: tuple[str, ...]
    """The same targets as the user wrote them."""
    probes: tuple[str, ...]
    """Probe names attached and proven."""
    missing: tuple[tuple[str, str], ...]
    """Optional probes not attached: (name, reason)."""
    realtime_ns: int
    """CLOCK_REALTIME at ``time``."""
    boottime_ns: int
    """CLOCK_BOOTTIME at ``time``."""
    unproven: tuple[str, ...] = ()
    """Probe names attached that no self-test can make fire."""
    closed_window_ns: int = 60_000_000_000
    """--closed-window of the live trace: a replay shows the same unless told otherwise."""
    settle_ns: int = 200_000_000
    """--settle of the live trace: how long a miss was held for what belongs to it."""
    count: int | None = None
    """--count of the live trace: it showed no more incidents than these."""
    selection: tuple[tuple[str, str], ...] = ()
    """Its filters, as (kind, word) pairs: tracer.select."""
    following: tuple[str, ...] = ()
    """What -c asked for: `TargetChange` events tell where that is, at first and later."""
    part: int = 0
    """Which file of a trace that was recorded in several, from 0."""
    carried: bool = False
    """What was known before this file follows, up to the event `Carried`."""


@frozen
class Clock:
    """A clock anchor: three clocks read together, so that a stepped wall clock shows."""

    kind: ClassVar[str] = "clock"
    time: int
    realtime_ns: int
    boottime_ns: int


@frozen
class Known:
    """A socket as it was known when a file began that is not the first of its trace.

    ``time`` is when it was last seen. ``first`` is the socket as it was first seen, ``sighting`` by
    what; ``calls`` are those that are still remembered, of ``connects`` successful connects, and
    ``dropped`` is the time of the latest that is not, -1 for none.
    """

    kind: ClassVar[str] = "known"
    time: int
    socket: SocketView
    first: SocketView
    sighting: Literal["dump", "call", "other"]
    calls: tuple[Call, ...]
    connects: int
    dropped: int
    task: Task | None
    """Who made the latest call on it."""
    closed: Close | None
    told: SockError | None
    """The latest error queued on it."""


@frozen
class Carried:
    """The end of what a file carries over from before it: its own evidence begins here.

    Before it a `MissCount` tells how much of a count is known already, and is no news.
    ``repeated``: how many of the events after it the part before has at its end, too.
    """

    kind: ClassVar[str] = "carried"
    time: int
    before: int
    """How many events of the trace came before those in this file."""
    repeated: int
    lost_calls: int
    """How many records of calls had been lost by then: `Loss`."""


@frozen
class Tick:
    """Time passed without an event and the linker acted on it: kept, so that a replay does too."""

    kind: ClassVar[str] = "tick"
    time: int


@frozen
class End:
    """Last event of a trace that ended cleanly, and why it did."""

    kind: ClassVar[str] = "end"
    time: int
    reason: str
    """"interrupted", "duration", "count", "terminated", "output closed" or "failed: ..."; of a file
    "continued" (in the next one), "signal" or "incident: CAUSE" (why a ring was written)."""
