"""Connection tracking in every namespace of this machine, asked about a datagram that missed."""

from __future__ import annotations

import time
from functools import partial

from tracer.events import Datagram, FourTuple, Translation
from tracer.system.conntrack import Entry, find_entry, is_tracking
from tracer.system.netns import Doors, netns_cookie, netns_inum

# Refusals in a row after which nobody is asked any more: each can cost the kernel a search for the
# module that is not there.
_REFUSALS = 3


class Tracking:
    """Asks ctnetlink; changes nothing but that the kernel may load that interface's module."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._refusals = 0

    def is_tracking(self) -> bool:
        """Whether there is connection tracking that can be asked."""
        return self._refusals < _REFUSALS and is_tracking()

    def own_netns(self) -> int:
        """The inode number of the network namespace this process is in."""
        return netns_inum("/proc/self/ns/net") or 0

    def namespaces(self) -> tuple[int, ...]:
        """The inode numbers of all namespaces there were a moment ago."""
        return self._doors.namespaces()

    def translation(self, netns: int, datagram: Datagram, receiver: int) -> Translation | None:
        """What a namespace's conntrack knows of a datagram; None where it has no entry.

        Raises LookupError where the namespace cannot be entered.
        """
        ends = FourTuple(datagram.src, datagram.sport, datagram.dst, datagram.dport)
        answer = self._doors.enter(netns, partial(_ask, datagram, ends))
        self._refusals = self._refusals + 1 if isinstance(answer, OSError) else 0
        if answer is None or isinstance(answer, OSError):
            return None
        entry, cookie, now = answer
        return Translation(
            time=now,
            family=datagram.family,
            datagram=ends,
            receiver=receiver,
            netns=netns,
            netns_cookie=cookie,
            before=entry.before,
            direction=entry.direction,
            status=entry.status,
            timeout=entry.timeout,
        )


def _ask(datagram: Datagram, ends: FourTuple) -> tuple[Entry, int, int] | OSError | None:
    """The entry, the namespace's cookie and the time; what went wrong is returned."""
    try:
        entry = find_entry(datagram.family, ends)
        return None if entry is None else (entry, netns_cookie(), time.monotonic_ns())
    except OSError as error:
        return error
