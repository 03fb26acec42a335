"""The drop counters of UDP sockets by network namespace, read for a bounded time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from functools import partial

from tracer.sockets.model import Detail
from tracer.system.netns import Doors
from tracer.system.sockets import read_details
from tracer.top.drops import Reading


class _OutOfTime(Exception):
    """No time is left for the rest."""


class DropReader:
    """Reads for at most about ``budget_ns`` at a time: the trace waits meanwhile.

    Who was left out is read first the next time.
    """

    def __init__(self, budget_ns: int) -> None:
        self._budget_ns = budget_ns
        self._doors = Doors()
        self._first: list[int] = []

    def __call__(self, inums: Iterable[int]) -> Reading:
        """Of all UDP sockets of these network namespaces; a netns whose reading ended early has no
        place in it. Never raises OSError."""
        wanted = set(inums)
        order = [inum for inum in self._first if inum in wanted]
        order += sorted(wanted - set(order))
        until = time.monotonic_ns() + self._budget_ns
        found: dict[int, list[Detail]] = {}
        gone, late, closed = [], [], 0
        for inum in order:
            if time.monotonic_ns() >= until:
                late.append(inum)
                continue
            try:
                details = self._doors.enter(inum, partial(_read, inum, until))
            except _OutOfTime:
                late.append(inum)
            except LookupError:
                gone.append(inum)
            else:
                closed += details is None
                if details is not None:
                    found[inum] = details
        # A namespace too large for the whole budget must not starve the others.
        self._first = late[1:] + late[:1] if late and order[0] == late[0] else late
        return Reading(found, tuple(gone), len(late), closed)


def _read(inum: int, until: int) -> list[Detail] | None:
    """Every UDP socket of the thread's netns; None where udp_diag cannot be had."""
    found: list[Detail] = []

    def take(detail: Detail) -> None:
        found.append(detail)
        if time.monotonic_ns() >= until:
            raise _OutOfTime

    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            read_details(family, inum, take)
    except OSError:
        return None
    return found
