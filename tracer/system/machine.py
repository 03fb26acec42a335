"""This machine as the live trace needs it: its clocks, its snapshot, its look-ups."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable
from functools import partial

from tracer.events import Clock, Counters, NetnsInfo, Owners, PortRange, SocketView
from tracer.system.clock import read_clock
from tracer.system.containers.worker import ContainerWorker
from tracer.system.door import View, look
from tracer.system.initial import is_initial
from tracer.system.local_ports import read_local_ports
from tracer.system.netns import Doors, Netns, find_netns, is_named, list_netns
from tracer.system.ports import sockets_on_port
from tracer.system.processes import NoOwners, OwnerFinder
from tracer.system.snapshot import Snapshot, netns_info, owners_events, take_snapshot
from tracer.system.tracking import Tracking

_SHORT = {
    errno.EMFILE: "ulimit -n",
    errno.ENFILE: "sysctl fs.file-max",
    errno.EAGAIN: "ulimit -u, and pids.max of its cgroup",
}
"""What a process may run out of, and where its limit is."""


class ThisMachine:
    """Everything but the kernel's events that a live trace asks the system for."""

    def __init__(
        self, follow: tuple[str, ...] = (), say: Callable[[str], None] = lambda line: None
    ) -> None:
        """``follow``: the containers to be followed, as -c has them; ``say``: takes a line."""
        # In a container's PID namespace /proc has other numbers than the kernel's events.
        self._finder = NoOwners() if is_initial("pid") is False else OwnerFinder()
        self.containers = ContainerWorker(follow, say)
        self.tracker = Tracking(Doors())
        self._say = say
        self._was_short = False

    def now(self) -> int:
        """CLOCK_MONOTONIC, nanoseconds: the events' clock."""
        return time.monotonic_ns()

    def clock(self) -> Clock:
        """A clock anchor, read now."""
        return read_clock()

    def snapshot(self) -> Snapshot:
        """All namespaces, UDP sockets and their owners."""
        return take_snapshot(self._finder)

    def netns(self, inum: int, hint_pids: Iterable[int]) -> NetnsInfo | None:
        """What is known of a namespace now; None when it cannot be found or read."""
        try:
            found = find_netns(inum, hint_pids)
            if found is not None:
                return look(found, partial(netns_info, found))
            # All files of /proc are passed over that cannot be opened: is any?
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            self._note_shortage(error)
        return None

    def sockets_on_port(
        self,
        inum: int,
        cookie: int,
        port: int,
        hint_pids: Iterable[int],
        take: Callable[[SocketView], None],
    ) -> str | None:
        """Hand each socket on a port to ``take``; returns why these are not all, or None."""
        return sockets_on_port(inum, cookie, port, hint_pids, take)

    def is_named(self, inum: int, name: str) -> bool:
        """Whether a namespace's name leads to that number still."""
        return is_named(inum, name)

    def namespaces(self) -> dict[int, Netns]:
        """All network namespaces that can be found, by inode number."""
        return list_netns()

    def counters(self, netns: Netns) -> Counters | None:
        """A namespace's counters; None when it is gone or cannot be read."""
        try:
            return look(netns, partial(_counters, netns.inum))
        except OSError as error:
            self._note_shortage(error)
            return None

    def port_range(self, inum: int, hint_pids: Iterable[int]) -> PortRange | None:
        """The ports a namespace's kernel chooses from; None where that cannot be read."""
        try:
            found = find_netns(inum, hint_pids)
            return None if found is None else look(found, partial(_port_range, inum))
        except OSError as error:
            self._note_shortage(error)
            return None

    def owners(self, inodes: Iterable[int], hint_pids: Iterable[int]) -> list[Owners]:
        """The owners that could be looked up now."""
        return owners_events(self._finder.find(inodes, hint_pids))

    def _note_shortage(self, error: OSError) -> None:
        """Tell once if it was not that something is gone."""
        limit = _SHORT.get(error.errno or 0)
        if limit is None or self._was_short:
            return
        self._was_short = True
        self._say(
            f"{error.strerror}: names, owners and counters are not looked up for want of it; "
            f"raise the limit ({limit})"
        )


def _counters(inum: int, view: View) -> Counters:
    """Raises OSError."""
    before = time.monotonic_ns()
    values = view.counters()
    return Counters(before, time.monotonic_ns(), inum, view.cookie(), values)


def _port_range(inum: int, view: View) -> PortRange | None:
    """None where the namespace may not be entered. Raises OSError."""
    ports = view.run(read_local_ports)
    return ports and PortRange(time.monotonic_ns(), inum, view.cookie(), *ports)
