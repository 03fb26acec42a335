"""The drop counters of UDP sockets by network namespace, read for a bounded time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from functools import partial

from tracer.sockets.detail import Detail
from tracer.system.netns import Doors
from tracer.system.sockets import read_details
from tracer.top.drops import Reading


class _OutOfTime(Exception):
    """No time is left for the rest."""


class _NotTold(Exception):
    """udp_diag cannot be had."""


class DropReader:
    """Reads for at most about ``budget_ns`` at a time, by ``now``: the trace waits meanwhile.

    Who was left out is read first the next time.
    """

    def __init__(
        self,
        budget_ns: int,
        doors: Doors | None = None,
        now: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._budget_ns = budget_ns
        self._doors = doors or Doors()
        self._now = now
        self._first: list[int] = []

    def __call__(self, inums: Iterable[int]) -> Reading:
        """Of all UDP sockets of these network namespaces; a netns whose reading ended early has no
        place in it. Never raises OSError."""
        wanted = set(inums)
        order = [inum for inum in self._first if inum in wanted]
        order += sorted(wanted - set(order))
        until = self._now() + self._budget_ns
        found: dict[int, list[Detail]] = {}
        gone: list[int] = []
        late: list[int] = []
        closed = 0
        for inum in order:
            if self._now() >= until:
                late.append(inum)
                continue
            try:
                found[inum] = self._doors.enter(inum, partial(self._read, inum, until))
            except _OutOfTime:
                late.append(inum)
            except _NotTold:
                closed += 1
            except LookupError:
                if inum in self._doors.namespaces():
                    closed += 1  # it may not be entered
                else:
                    gone.append(inum)
        # One that is too large for all the time there is must not starve the others.
        self._first = late[1:] + late[:1] if late and order[0] == late[0] else late
        return Reading(found, tuple(gone), len(late), closed)

    def _read(self, inum: int, until: int) -> list[Detail]:
        """Every UDP socket of the thread's netns. Raises _OutOfTime, _NotTold."""
        found: list[Detail] = []

        def take(detail: Detail) -> None:
            found.append(detail)
            if self._now() >= until:
                raise _OutOfTime

        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                read_details(family, inum, take)
        except OSError:
            raise _NotTold from None
        return found
