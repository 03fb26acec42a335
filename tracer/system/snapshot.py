"""What was there before the trace began: namespaces, sockets and their owners, as events."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from tracer.events import Event, NetnsInfo, Owners, SocketSeen
from tracer.system.links import links, local_addresses
from tracer.system.netns import Netns, in_netns, list_netns, netns_cookie
from tracer.system.processes import Holders, OwnerFinder
from tracer.system.sockets import udp_sockets


@dataclass
class Snapshot:
    """The events, and in words, a line each, what could not be looked at."""

    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def take_snapshot(finder: OwnerFinder) -> Snapshot:
    """Every namespace, every UDP socket in it, and who holds each. Never raises OSError."""
    taken = Snapshot()
    fallbacks: Counter[str] = Counter()
    for netns in list_netns().values():
        try:
            events, fallback = in_netns(netns, partial(_look, netns))
        except FileNotFoundError:
            continue  # it ended while we were looking
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
    inodes = {e.socket.inode for e in taken.events if isinstance(e, SocketSeen)} - {0}
    if inodes:
        taken.events += owners_events(finder.scan(inodes))
    return taken


def _look(netns: Netns) -> tuple[list[Event], str]:
    """The events of the namespace the thread is in, and why udp_diag was not used if it was not."""
    info = netns_info(netns)
    # The time before the dump, not after it: a call that comes between is in both, which does no
    # harm, while a dump dated after a call it does not show would undo that call.
    began = time.monotonic_ns()
    found = udp_sockets(netns.inum, info.cookie)
    return [info, *(SocketSeen(began, view, found.source) for view in found.sockets)], found.reason


def netns_info(netns: Netns) -> NetnsInfo:
    """What is known of the namespace the thread is in now. Raises OSError."""
    now = time.monotonic_ns()
    return NetnsInfo(now, netns.inum, netns_cookie(), netns.name, local_addresses(), links())


def owners_events(found: Holders) -> list[Owners]:
    """One event a socket, dated now, in the order of the inodes."""
    now = time.monotonic_ns()
    return [Owners(now, inode, found[inode]) for inode in sorted(found)]
