"""The socket iterator's records (bpf/events.h) -> facts, and the sockets they are about."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterable

from tracer import wire
from tracer.events import SocketView
from tracer.sockets.model import Facts, Group
from tracer.wire import WireError, WireListed, WireListedGroup

_SIZE = ctypes.sizeof(WireListed)


def parse_facts(data: bytes) -> list[Facts]:
    """The facts of each socket, in the kernel's order. Raises WireError."""
    if len(data) % _SIZE:
        raise WireError(f"{len(data)} bytes are no whole records of {_SIZE}")
    found: list[Facts] = []
    groups: list[Group] = []
    more = False
    # From the end, so that a socket comes after its groups.
    for at in range(len(data) - _SIZE, -1, -_SIZE):
        kind = data[at]
        if kind == wire.LISTED_SOCKET:
            record = WireListed.from_buffer_copy(data, at)
            found.append(_facts(record, tuple(reversed(groups)), more))
            groups, more = [], False
        elif kind == wire.LISTED_GROUP:
            groups.append(_group(WireListedGroup.from_buffer_copy(data, at)))
        elif kind == wire.LISTED_MORE:
            more = True
        else:
            raise WireError(f"a record of kind {kind}")
    if groups or more:
        raise WireError("groups without a socket")
    return found[::-1]


def _facts(record: WireListed, groups: tuple[Group, ...], more: bool) -> Facts:
    flags = record.flags
    return Facts(
        lport=record.lport,
        cookie=record.cookie,
        inode=record.inode,
        addr_lock=bool(flags & wire.ADDR_LOCK),
        port_lock=bool(flags & wire.PORT_LOCK),
        reuseport=bool(flags & wire.REUSEPORT),
        reuseport_group=record.group,
        kernel=bool(flags & wire.KERNEL),
        groups=groups,
        more_groups=more,
    )


def _group(record: WireListedGroup) -> Group:
    if record.family not in (socket.AF_INET, socket.AF_INET6):
        raise WireError(f"a group of address family {record.family}")
    size = 4 if record.family == socket.AF_INET else 16
    address = socket.inet_ntop(record.family, bytes(record.address)[:size])
    return Group(address, record.ifindex, bool(record.sources))


class FactsOf:
    """Finds the facts of a socket of a dump of the same network namespace."""

    def __init__(self, facts: Iterable[Facts]) -> None:
        self._by_cookie: dict[int, Facts] = {}
        self._by_inode: dict[int, Facts] = {}
        for one in facts:
            if one.cookie:
                self._by_cookie[one.cookie] = one
            if one.inode:
                self._by_inode[one.inode] = one

    def find(self, view: SocketView) -> Facts | None:
        """By the cookie, which a dump by udp_diag gives each socket; by the inode after another's.

        None where the iterator passed it by, and for one whose port is another by now.
        """
        by_cookie = self._by_cookie.get(view.cookie)
        found = by_cookie if view.cookie else self._by_inode.get(view.inode)
        return found if found is not None and found.lport == view.lport else None
