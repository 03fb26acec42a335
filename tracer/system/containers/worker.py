"""The look-ups of containers, in a thread of their own: a trace never waits for an engine's files.

What is found becomes events, which the live loop takes when it has time.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tracer.containers import Container
from tracer.events import InContainer, NetnsContainers, TargetChange
from tracer.lru import Lru
from tracer.namespaces import same_netns
from tracer.parts import CLOCK_TICK_NS
from tracer.system.containers.commands import completed, is_incomplete
from tracer.system.containers.engines import Engines
from tracer.system.containers.follow import Follower
from tracer.system.containers.members import containers_of, members, netns_of
from tracer.system.netns import initial_inum
from tracer.system.processes import start_of

FOLLOW_S = 0.5
"""How often the containers that -c asks for are looked for: one that was started sends, and is
found by that, or by this."""

_SCAN_SHARE = 5
"""Looking at all processes takes at most one part in this many of the thread's time."""

_KNOWN = 65536
"""Namespaces remembered."""

_LATER = 64
"""Events told of a container that are told again when more is known of it."""

Found = NetnsContainers | InContainer | TargetChange


@dataclass
class _Wanted:
    """What is to be looked up."""

    netns: dict[int, tuple[int, set[int]]] = field(default_factory=dict)
    """By inode number: cookie, and processes that were seen in it."""
    processes: dict[int, int] = field(default_factory=dict)
    """By number: start."""

    def __bool__(self) -> bool:
        return bool(self.netns or self.processes)


class ContainerWorker:
    """Answers what the live loop wants to know of containers, and follows those asked for.

    ``say`` takes a line for the user, from the thread.
    """

    def __init__(
        self,
        follow: tuple[str, ...] = (),
        say: Callable[[str], None] = lambda line: None,
        *,
        engines: Callable[[], Engines] = Engines,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._engines = engines()
        self._now = now
        self._say = say
        self._follower = Follower(follow, self._engines, say, now)
        self._following = bool(follow)
        self._initial = initial_inum(())
        self._known: Lru[int, NetnsContainers] = Lru(_KNOWN)
        self._completed: Lru[Container, Container] = Lru(_KNOWN)
        """What its engine's command has added to a container's state."""
        self._incomplete: dict[Container, list[InContainer]] = {}
        """Containers whose engine is still to be asked, and the processes told of them."""
        self._wanted = _Wanted()
        self._to_scan: dict[int, int] = {}
        """Namespaces whose processes are still to be looked for, with their cookies."""
        self._next_scan = 0.0
        self._found: list[Found] = []
        self._idle = threading.Event()
        self._lock = threading.Lock()
        self._stopped = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="containers", daemon=True)
        self._thread.start()

    # The live loop's side

    def want_netns(self, inum: int, cookie: int, hint_pids: Iterable[int] = ()) -> None:
        """Have the containers of a namespace looked up, through processes seen in it at first."""
        if inum == self._initial:
            return
        with self._lock:
            _, hints = self._wanted.netns.get(inum, (0, set()))
            if len(self._wanted.netns) < _KNOWN:  # else the thread hangs in somebody's files
                self._wanted.netns[inum] = (cookie, hints.union(hint_pids))
            self._idle.clear()
        os.eventfd_write(self._wake, 1)

    def want_process(self, pid: int, start_ns: int) -> None:
        """Have the container of a process looked up, while it is there."""
        with self._lock:
            if len(self._wanted.processes) < _KNOWN:
                self._wanted.processes[pid] = start_ns
            self._idle.clear()
        os.eventfd_write(self._wake, 1)

    def events(self) -> list[Found]:
        """What has been found since the last call."""
        with self._lock:
            found, self._found = self._found, []
        return found

    def settle(self, seconds: float) -> bool:
        """Wait until what was wanted has been looked at, at most so long; returns whether it is."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """End the thread; one that hangs in a file system or a command is left behind."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(1.0)

    # The thread's side

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._step()
        except Exception as error:
            # Nobody would miss the names that come no more: so it is said.
            self._say(f"containers are not looked up any more: {type(error).__name__}: {error}")
            self._idle.set()
        finally:
            self._follower.close()

    def _step(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        self._work()
        with self._lock:
            if not (self._wanted or self._to_scan):
                self._idle.set()
        if self._incomplete and self._idle.is_set():
            self._complete_one()
        else:
            self._sleep()

    def _work(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, _Wanted()
        for pid, start_ns in wanted.processes.items():
            self._look_at_process(pid, start_ns)
        for inum, (cookie, hints) in wanted.netns.items():
            # A process that was seen there, first: it may be gone before all are looked at.
            found = containers_of((p for p in hints if netns_of(p) == inum), self._engines)
            self._tell_netns(inum, cookie, found, whole=False)
            self._to_scan[inum] = cookie
        if self._to_scan and time.monotonic() >= self._next_scan:
            self._scan()
        if self._following:
            for change in self._follower.look():
                # Its name comes with it, before anything else is looked up there.
                if change.state == "started" and change.inum != self._initial:
                    self._tell_netns(change.inum, change.cookie, (change.container,), whole=False)
                self._tell(change)

    def _sleep(self) -> None:
        poll = select.poll()
        for fd in (self._wake, *self._follower.ends):
            poll.register(fd, select.POLLIN)
        waits = [FOLLOW_S] if self._following else []
        waits += [max(0.0, self._next_scan - time.monotonic())] if self._to_scan else []
        poll.poll(min(waits) * 1000 if waits else None)

    def _look_at_process(self, pid: int, start_ns: int) -> None:
        container = self._engines.container_of(pid)
        # Its number may have become another's by now.
        if container is not None and abs(start_of(pid) - start_ns) <= CLOCK_TICK_NS:
            event = InContainer(self._now(), pid, start_ns, self._best(container))
            later = self._incomplete.get(container)
            if later is not None and len(later) < _LATER:
                later.append(event)
            self._tell(event)

    def _scan(self) -> None:
        """Look at every process for those of the namespaces wanted."""
        began = time.monotonic()
        wanted, self._to_scan = self._to_scan, {}
        for inum, pids in members(wanted).items():
            found = containers_of(pids, self._engines)
            self._tell_netns(inum, wanted[inum], found, whole=bool(pids))
        ended = time.monotonic()
        self._next_scan = ended + (_SCAN_SHARE - 1) * (ended - began)

    def _tell_netns(
        self, inum: int, cookie: int, found: tuple[Container, ...], *, whole: bool
    ) -> None:
        """Tell what is news; not ``whole``: there may be others beside those found."""
        known = self._known.get(inum)
        same = known is not None and same_netns(known.cookie, cookie)
        before = known.containers if known is not None and same else ()
        named = tuple(map(self._best, found))
        if not whole:
            there = {container.id for container in before}
            named = before + tuple(c for c in named if c.id not in there)
        # The number's earlier namespace had some, and nothing else may tell the two apart.
        stale = known is not None and not same and bool(known.containers)
        if named != before or (stale and whole):
            event = NetnsContainers(self._now(), inum, cookie, named)
            self._known.put(inum, event)
            self._tell(event)

    def _best(self, container: Container) -> Container:
        """With what its engine's command says, where its state does not have it all."""
        better = self._completed.get(container)
        if better is None and is_incomplete(container):
            self._incomplete.setdefault(container, [])
        return better or container

    def _complete_one(self) -> None:
        """Ask an engine's command about a container, and tell what that adds."""
        container = next(iter(self._incomplete))
        processes = self._incomplete.pop(container)
        better = completed(container)
        self._completed.put(container, better)
        if better == container:
            return
        for event in list(self._known):
            if container in event.containers:
                named = tuple(better if c == container else c for c in event.containers)
                told = NetnsContainers(self._now(), event.inum, event.cookie, named)
                self._known.put(event.inum, told)
                self._tell(told)
        for process in processes:
            self._tell(replace(process, time=self._now(), container=better))

    def _tell(self, event: Found) -> None:
        with self._lock:
            self._found.append(event)
