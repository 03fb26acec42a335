"""The live loop: kernel events, look-ups and the passing of time become one log.

Time is an event too (Tick), so that a replay of the recording, fed to the same consumer, acts at
the same points and shows exactly what the live trace showed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from tracer import __version__
from tracer.completion import Completion, Reader
from tracer.counting import BATCH_NS, LONG_BATCH_NS, Counting, Source
from tracer.events import (
    Clock,
    End,
    Event,
    Header,
    InContainer,
    NetnsContainers,
    TargetChange,
    Tick,
)
from tracer.link import SETTLE_NS
from tracer.log import Consumer, Log
from tracer.lookups import Containers as Wanted
from tracer.lookups import Directory, Lookups
from tracer.recording.codec import FORMAT
from tracer.recording.sink import Sink
from tracer.schedule import GRACE_NS, Schedule, clock_moved
from tracer.signals import Stop
from tracer.system.clock import boot_id
from tracer.system.snapshot import Snapshot
from tracer.system.targets import OnlyTargets, Targets


class Session(Protocol):
    """Attached and proven probes (tracer.kernel.session)."""

    @property
    def probes(self) -> tuple[str, ...]:
        """Names of the probes that are proven."""

    @property
    def unproven(self) -> tuple[str, ...]:
        """Names of those attached that no self-test can make fire."""

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """Optional probes that are not: (name, reason)."""

    @property
    def behind(self) -> bool:
        """Events may be yet to come that are older than the latest `poll`."""

    def poll(self, timeout_ms: int) -> list[Event]:
        """The next events in order, waiting for the first at most so long."""

    def drain(self) -> list[Event]:
        """All that there is by now, with the kernel's counters as they are after it."""

    def keep_only(self, netns: Iterable[int] | None) -> None:
        """Drop the misses of all other namespaces in the kernel; None: of none."""


class Machine(Directory, Reader, Source, Protocol):
    """What the loop asks the system for (tracer.system.machine)."""

    def clock(self) -> Clock:
        """A clock anchor, read now."""

    def snapshot(self) -> Snapshot:
        """All namespaces, UDP sockets and their owners."""

    @property
    def containers(self) -> Containers:
        """Who looks for containers, and follows those asked for."""


class Containers(Wanted, Protocol):
    """What the loop asks about containers, whose answers come when they are there."""

    def events(self) -> Sequence[NetnsContainers | InContainer | TargetChange]:
        """What has been found since the last call."""

    def settle(self, seconds: float) -> bool:
        """Wait until what was wanted is there, at most so long; returns whether it is."""

    def close(self) -> None:
        """End the looking."""


NAMES_S = 2.0
"""How long the start waits for the names of what is there: engines' files that hang hold up no
trace."""


@dataclass(frozen=True)
class Plan:
    """What the user asked for."""

    targets: Targets
    argv: tuple[str, ...]
    closed_window_ns: int
    settle_ns: int = SETTLE_NS
    count: int | None = None
    selection: tuple[tuple[str, str], ...] = ()
    """The filters, as (kind, word) pairs: tracer.select."""
    duration_ns: int | None = None
    only_targets: bool = False
    """Misses of other namespaces than the targets are not wanted at all (--direction in)."""
    recording_only: bool = False
    """Without its recording the trace is worth nothing: a failure to write ends it."""


class Trace:
    """One live trace.

    ``say`` takes warnings for the user; ``ready`` is called when the trace is complete, and
    ``status`` with its age (ns) now and then, to prove to the user that it lives. It ends when
    ``unread`` says that nobody reads any more what is shown.
    """

    def __init__(
        self,
        session: Session,
        machine: Machine,
        consumer: Consumer,
        plan: Plan,
        stop: Stop,
        say: Callable[[str], None],
        *,
        writer: Sink | None = None,
        ready: Callable[[], None] = lambda: None,
        status: Callable[[int], None] | None = None,
        unread: Callable[[], bool] = lambda: False,
    ) -> None:
        self._session = session
        self._machine = machine
        self._consumer = consumer
        self._plan = plan
        self._stop = stop
        self._say = say
        self._ready = ready
        self._lookups = Lookups(machine)
        self._completion = Completion(machine)
        self._counting = Counting(machine, say)
        self._drain_ns = 0
        """How long it took to read all misses."""
        self._log = Log(consumer, self._lookups, say, writer, plan.recording_only)
        self._status = status
        self._unread = unread
        self._only = OnlyTargets(plan.targets) if plan.only_targets else None
        if self._only is not None:
            session.keep_only(self._only.wanted)
        self._begun = False
        """The log has its header."""
        self._schedule = Schedule(machine.now(), plan.duration_ns)
        self._clock: Clock
        """The last one recorded: the header has the first."""

    @property
    def recording_failed(self) -> bool:
        """The recording is not whole; the user was told why."""
        return self._log.recording_failed

    def run(self) -> str:
        """Trace until something ends it; returns the End event's reason.

        Raises what ends it before its time; the recording's End event then says so.
        """
        try:
            self._begin()
            reason = self._loop()
            self._end(reason)
        except (Exception, KeyboardInterrupt) as error:
            self._fail(str(error) or type(error).__name__)
            raise
        return reason

    def _begin(self) -> None:
        """The header, what was there before, and what happened since the probes are there."""
        header = self._header()
        self._begun = True
        self._log.put(header)
        snapshot = self._machine.snapshot()
        for problem in snapshot.problems:
            self._say(problem)
        first = [*snapshot.events, *self._session.poll(0)]
        first.sort(key=lambda event: event.time)
        self._log.put_all(self._completion.complete(first))
        if not self._machine.containers.settle(NAMES_S):
            self._say("the names of containers take long to look up: they come when they are there")
        self._put_containers()
        self._count_all()
        self._schedule = Schedule(self._machine.now(), self._plan.duration_ns)
        self._stop.begin()
        self._ready()

    def _header(self) -> Header:
        clock = self._clock = self._machine.clock()
        system = os.uname()
        return Header(
            time=clock.time,
            format=FORMAT,
            tool="udptrace",
            version=__version__,
            host=system.nodename,
            boot_id=boot_id(),
            kernel=system.release,
            machine=system.machine,
            argv=self._plan.argv,
            targets=self._plan.targets.inums,
            target_names=self._plan.targets.names,
            following=self._plan.targets.containers,
            probes=self._session.probes,
            missing=self._session.missing,
            unproven=self._session.unproven,
            realtime_ns=clock.realtime_ns,
            boottime_ns=clock.boottime_ns,
            closed_window_ns=self._plan.closed_window_ns,
            settle_ns=self._plan.settle_ns,
            count=self._plan.count,
            selection=self._plan.selection,
        )

    def _loop(self) -> str:
        """Step until something ends the trace; returns what."""
        while True:
            if reason := self._stop.reason or self._log.satisfied:
                return reason
            if self._unread():
                return "output closed"
            if self._schedule.over(self._machine.now()):
                return "duration"
            self._step()

    def _step(self) -> None:
        before = self._machine.now()
        self._look_at_the_clock()
        if self._schedule.survey_due(before):
            self._lookups.refresh_namespaces()
            self._counting.want_all()
        wait_ms = self._schedule.wait_ms(before, self._consumer.next_deadline())
        self._put_polled(self._session.poll(wait_ms))
        self._look_up()
        self._count_some()
        if not self._session.behind:
            self._tick(before - GRACE_NS)
        self._log.flush_due()
        if self._status and self._schedule.status_due(before):
            self._status(self._schedule.elapsed(before))

    def _look_at_the_clock(self) -> None:
        """Record how the clocks stand now and then, and when the time of day has been set."""
        clock = self._machine.clock()
        if clock_moved(self._clock, clock):
            self._clock = clock
            self._log.put(clock)

    def _put_polled(self, events: list[Event]) -> None:
        """Kernel events; what they made worth looking up is there before anything is due.

        On a busy machine one poll brings more than a miss is held for.
        """
        for event in self._completion.complete(events):
            deadline = self._consumer.next_deadline()
            if deadline is not None and deadline <= event.time and self._lookups.owed:
                self._look_up()
            self._log.put_all([event])

    def _look_up(self) -> None:
        self._put_containers()
        found = self._lookups.events(self._machine.now())
        self._counting.meet(found)
        self._log.put_all(found)

    def _put_containers(self) -> None:
        """What was found of containers meanwhile, and where those asked for are by now."""
        found = self._machine.containers.events()
        self._log.put_all(found)
        changes = [event for event in found if isinstance(event, TargetChange)]
        for change in changes if self._plan.recording_only else ():
            # Where nothing else is shown of a trace.
            container = change.container
            self._say(f"container {container.label} ({container.who}) {change.state}")
        if changes and self._only is not None:
            for change in changes:
                self._only.take(change)
            self._session.keep_only(self._only.wanted)

    def _count_some(self) -> None:
        """Read the counters of some namespaces that are due: events must not wait long."""
        if self._counting.pending:
            self._put_polled(self._session.drain())
            self._count(BATCH_NS)

    def _count_all(self, *, final: bool = False) -> None:
        """Read the counters of every namespace there is."""
        self._counting.want_all()
        self._put_polled(self._session.drain())
        while self._counting.pending and not self._log.satisfied:
            self._count(LONG_BATCH_NS, final=final)

    def _count(self, budget_ns: int, *, final: bool = False) -> None:
        """Read some counters, and then all that has missed; what had before is in the log.

        What misses meanwhile is on neither side for certain, so it must not take long; nor may
        reading the misses, which can be many, take longer than what it is there for.
        """
        readings = self._counting.batch(max(budget_ns, self._drain_ns), final=final)
        read = self._machine.now()
        after = self._session.drain()
        until = self._machine.now()
        self._drain_ns = until - read
        self._log.put_all(replace(reading, until=until) for reading in readings)
        self._put_polled(after)

    def _tick(self, passed: int) -> None:
        """Let the consumer act on a deadline if all events up to ``passed`` have been seen."""
        deadline = self._consumer.next_deadline()
        if deadline is not None and deadline <= passed:
            self._log.put_all([Tick(passed)])

    def _end(self, reason: str) -> None:
        """What is left in the kernel, then the End event."""
        self._count_all(final=True)
        self._look_up()
        self._log.put(End(self._machine.now(), reason))
        self._log.close()

    def _fail(self, why: str) -> None:
        """End as well as can be: whatever fails now has already been told, or caused this."""
        with suppress(Exception):
            if self._begun:
                self._log.put(End(self._machine.now(), f"failed: {why}"))
        with suppress(Exception):
            self._log.close()
