"""A machine, a kernel session and a renderer in virtual time, for the tests of the live loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tracer.events import (
    Clock,
    Counters,
    Datagram,
    Event,
    InContainer,
    NetnsContainers,
    NetnsInfo,
    Owners,
    PortRange,
    SocketView,
    TargetChange,
    Translation,
)
from tracer.link import IncidentUpdate
from tracer.system.netns import Netns
from tracer.system.snapshot import Snapshot

MS = 1_000_000
S = 1_000_000_000


@dataclass
class FakeTracker:
    """Connection tracking that knows what it is given, by namespace; what it was asked, in order.

    A namespace with None in ``known`` is there and has no entry; one that is not there has gone.
    """

    own: int = 1
    known: dict[int, Translation | None] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    tracking: bool = True

    def is_tracking(self) -> bool:
        return self.tracking

    def own_netns(self) -> int:
        return self.own

    def namespaces(self) -> Iterable[int]:
        return tuple(self.known)

    def translation(self, netns: int, datagram: Datagram, receiver: int) -> Translation | None:
        if netns not in self.known:
            raise LookupError(netns)
        self.asked.append(netns)
        return self.known[netns]


@dataclass
class FakeContainers:
    """Finds what it is given, when it is asked for events; what it was asked to look up."""

    found: list[NetnsContainers | InContainer | TargetChange] = field(default_factory=list)
    netns: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    processes: list[tuple[int, int]] = field(default_factory=list)

    def want_netns(self, inum: int, cookie: int, hint_pids: Iterable[int] = ()) -> None:
        self.netns.append((inum, cookie, tuple(hint_pids)))

    def want_process(self, pid: int, start_ns: int) -> None:
        self.processes.append((pid, start_ns))

    def events(self) -> list[NetnsContainers | InContainer | TargetChange]:
        found, self.found = self.found, []
        return found

    def settle(self, seconds: float) -> bool:
        return True

    def close(self) -> None:
        pass


@dataclass
class FakeMachine:
    """Knows the time, and what it is told to know."""

    time: int = 0
    before: Snapshot = field(default_factory=Snapshot)
    infos: dict[int, NetnsInfo] = field(default_factory=dict)
    holders: dict[int, Owners] = field(default_factory=dict)
    sockets: tuple[SocketView, ...] = ()
    """What it finds on any port."""
    unread: str | None = None
    """Why these are not all."""
    tracker: FakeTracker = field(default_factory=FakeTracker)
    containers: FakeContainers = field(default_factory=FakeContainers)
    counted: dict[int, Counters] = field(default_factory=dict)
    """What the counters of each namespace are, by its number."""

    def now(self) -> int:
        return self.time

    def clock(self) -> Clock:
        return Clock(self.time, 1_795_000_000 * S + self.time, self.time)

    def snapshot(self) -> Snapshot:
        self.time += 5 * MS
        return self.before

    def netns(self, inum: int, hint_pids: Iterable[int]) -> NetnsInfo | None:
        return self.infos.get(inum)

    def sockets_on_port(
        self,
        inum: int,
        cookie: int,
        port: int,
        hint_pids: Iterable[int],
        take: Callable[[SocketView], None],
    ) -> str | None:
        for view in self.sockets:
            take(view)
        self.time += 3 * MS
        return self.unread

    def port_range(self, inum: int, hint_pids: Iterable[int]) -> PortRange | None:
        return None

    def is_named(self, inum: int, name: str) -> bool:
        return inum in self.infos and self.infos[inum].name == name

    def namespaces(self) -> dict[int, Netns]:
        return {inum: Netns(inum, None, "") for inum in self.counted}

    def counters(self, netns: Netns) -> Counters | None:
        found = self.counted.get(netns.inum)
        return found and replace(found, time=self.time, until=self.time)

    def owners(self, inodes: Iterable[int], hint_pids: Iterable[int]) -> list[Owners]:
        return [self.holders[inode] for inode in inodes if inode in self.holders]


@dataclass
class FakeSession:
    """Hands out batches of events, each at its time of arrival; calls ``over`` after the last."""

    machine: FakeMachine
    batches: list[tuple[int, list[Event]]]
    left: list[Event] = field(default_factory=list)
    """What `drain` finds, once."""
    drained: list[int] = field(default_factory=list)
    """When `drain` was called."""
    polls: int = 0
    behind: bool = False
    only: list[tuple[int, ...] | None] = field(default_factory=list)
    """What `keep_only` was called with."""
    probes: tuple[str, ...] = ("connect", "icmp")
    unproven: tuple[str, ...] = ("limit",)
    missing: tuple[tuple[str, str], ...] = (("autobind", "no such symbol"),)

    def poll(self, timeout_ms: int) -> list[Event]:
        self.polls += 1
        until = self.machine.time + timeout_ms * MS
        if self.batches and self.batches[0][0] <= until:
            arrival, events = self.batches.pop(0)
            self.machine.time = max(self.machine.time, arrival)
            return events
        self.machine.time = until + 100_000  # no wait ends on the dot
        return []

    def drain(self) -> list[Event]:
        self.drained.append(self.machine.time)
        left, self.left = self.left, []
        return left

    def keep_only(self, netns: Iterable[int] | None) -> None:
        self.only.append(None if netns is None else tuple(netns))

    def close(self) -> None:
        pass


@dataclass
class LineRenderer:
    """Every incident and every event that a renderer shows as a line, and where they go."""

    lines: list[str] = field(default_factory=list)

    def event(self, event: Event) -> str:
        return f"{event}\n" if event.kind in ("header", "loss", "end") else ""

    def update(self, update: IncidentUpdate) -> str:
        return json.dumps(update.incident.to_json()) + "\n"

    def write(self, text: str) -> None:
        self.lines += text.splitlines()

    @property
    def incidents(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]
