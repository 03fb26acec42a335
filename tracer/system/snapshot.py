"""What was there before the trace began: namespaces, sockets and their owners, as events."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from tracer.events import Event, NetnsInfo, Owners, SocketSeen
from tracer.system.door import NOT_ENTERED, View, look
from tracer.system.netns import Forbidden, Netns, list_netns
from tracer.system.processes import Holders, OwnerFinder


@dataclass
class Snapshot:
    """The events, and in words, a line each, what could not be looked at."""

    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def take_snapshot(finder: OwnerFinder) -> Snapshot:
    """Every namespace, every UDP socket in it, and who holds each. Never raises OSError."""
    taken = Snapshot()
    fallbacks: Counter[str] = Counter()
    forbidden = 0
    for netns in list_netns().values():
        try:
            events, fallback = look(netns, partial(_read, netns))
        except FileNotFoundError:
            continue  # it ended while we were looking
        except Forbidden:
            forbidden += 1
            continue
        except OSError as error:
            name, why = netns.name or netns.inum, error.strerror or error
            taken.problems.append(f"the sockets of network namespace {name} are not known: {why}")
            continue
        taken.events += events
        fallbacks.update(filter(None, [fallback]))
    taken.problems += [
        f"{reason}; /proc/net/udp was read instead in {count} network namespaces:"
        " it tells no cookies, devices and v6only flags"
        for reason, count in fallbacks.items()
    ]
    if forbidden:
        taken.problems.append(
            f"the sockets of {forbidden} network namespaces without a process are not known:"
            f" {NOT_ENTERED}"
        )
    inodes = {e.socket.inode for e in taken.events if isinstance(e, SocketSeen)} - {0}
    if inodes:
        taken.events += owners_events(finder.scan(inodes))
    return taken


def _read(netns: Netns, view: View) -> tuple[list[Event], str]:
    """The events of a namespace, and why udp_diag was not used if it was not. Raises OSError."""
    info = netns_info(netns, view)
    # The time before the dump, not after it: a call that comes between is in both, which does no
    # harm, while a dump dated after a call it does not show would undo that call.
    began = time.monotonic_ns()
    found = view.sockets(netns.inum, info.cookie)
    return [info, *(SocketSeen(began, view, found.source) for view in found.sockets)], found.reason


def netns_info(netns: Netns, view: View) -> NetnsInfo:
    """What is known of a namespace now. Raises OSError."""
    now, cookie = time.monotonic_ns(), view.cookie()
    return NetnsInfo(now, netns.inum, cookie, netns.name, view.addresses(), view.links())


def owners_events(found: Holders) -> list[Owners]:
    """One event a socket, dated now, in the order of the inodes."""
    now = time.monotonic_ns()
    return [Owners(now, inode, found[inode]) for inode in sorted(found)]
