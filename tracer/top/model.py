"""What was counted in an interval: flows that missed, sockets that dropped, rows; frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from tracer.addresses import endpoint
from tracer.describe import local_and_peer
from tracer.events import SocketView
from tracer.incident import Incident
from tracer.parts import Netns, Socket
from tracer.timefmt import NS
from tracer.totals import Stats

By = Literal["flow", "socket", "netns", "process"]
BY: tuple[By, ...] = get_args(By)

Sort = Literal["misses", "errors", "drops", "name"]
SORTS: tuple[Sort, ...] = get_args(Sort)


class Figure(NamedTuple):
    """How many in the interval, and since the trace began; None: not known."""

    new: int | None
    total: int | None

    def rate(self, span_ns: int) -> float | None:
        """How many a second."""
        return None if self.new is None else self.new * NS / span_ns


NOT_KNOWN = Figure(None, None)


class SocketId(NamedTuple):
    """A socket by its network namespace and its two ends, as they are printed."""

    netns: int
    local: str
    peer: str | None


class DropId(NamedTuple):
    """A socket by its network namespace and its inode."""

    netns: int
    inode: int


def id_of_view(view: SocketView) -> SocketId:
    """Of a socket as an event has it."""
    ends = local_and_peer(view)
    return SocketId(view.netns, ends.local, ends.peer)


def id_of_socket(socket: Socket) -> SocketId:
    """Of a socket as an incident has it."""
    return SocketId(socket.netns.inum, socket.local, socket.peer)


def drop_id(socket: Socket | None) -> DropId | None:
    """What its drops are counted by; None where there is no socket, or its inode is not known."""
    return DropId(socket.netns.inum, socket.inode) if socket and socket.inode else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A flow that has missed with its latest incident, or (None) a socket that drops without one.

    ``errors``: those queued on each socket that was told; ``drops``: those of ``socket``.
    """

    incident: Incident | None
    netns: Netns
    socket: Socket | None
    misses: Figure
    errors: dict[SocketId, Figure]
    drops: Figure

    @property
    def flow(self) -> str | None:
        """The datagram's four-tuple as its receiver saw it."""
        if self.incident is None:
            return None
        d = self.incident.datagram
        return f"{endpoint(d.src, d.sport)} > {endpoint(d.dst, d.dport)}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was counted by the end of an interval.

    ``time`` is UTC in nanoseconds, None where the trace has no clock; ``mono_ns`` its monotonic
    clock; ``age_ns`` is since the trace began, ``span_ns`` the length of the interval.
    """

    time: int | None
    mono_ns: int
    age_ns: int
    span_ns: int
    entries: tuple[Entry, ...]
    stats: Stats
    forgotten_flows: int = 0
    """Flows that are not among the entries any more, and their misses."""
    forgotten_misses: int = 0
    undropped: tuple[str, ...] = ()
    """Why drops of some sockets are not known, in words."""
    final: bool = False
    """The trace has ended."""


@dataclass(frozen=True, slots=True)
class Row:
    """Entries that belong together. ``worst`` is the one with most misses; None: not known."""

    by: By
    key: tuple[str, ...]
    worst: Entry
    flows: int
    causes: tuple[str, ...]
    misses: Figure
    errors: Figure
    drops: Figure
