"""Sockets of a listing for tests, from the builders' views."""

from __future__ import annotations

from typing import Any

from tests.unit.build import COOKIES, at
from tracer.events import Holder, NetnsInfo, SocketView
from tracer.parts import Netns, Process
from tracer.sockets.detail import Detail, Memory
from tracer.sockets.listing import Lister, Look
from tracer.sockets.model import Facts, Group, Listed

MEMORY = Memory(0, 212992, 0, 212992, 0, 0, 0, 0)
LINKS = ((1, "lo"), (2, "eth0"))
ADDRESSES = ("127.0.0.1", "10.0.0.5", "::1", "fe80::5")


def facts(view: SocketView, **told: Any) -> Facts:
    """What the iterator tells of a socket: bound, and nothing else, unless told."""
    plain: dict[str, Any] = {
        "addr_lock": False,
        "port_lock": True,
        "reuseport": False,
        "reuseport_group": 0,
        "kernel": False,
        "groups": (),
        "more_groups": False,
    }
    return Facts(view.lport, view.cookie, view.inode, **plain | told)


def look(views: list[SocketView], known: list[Facts] | None) -> Look:
    """A look at a namespace with these sockets, empty queues and plain buffers."""
    details = tuple(Detail(view, 0, 0, 0, MEMORY) for view in views)
    info = NetnsInfo(at(0), views[0].netns, COOKIES[views[0].netns], "box", ADDRESSES, LINKS)
    return Look(info, details, known)


def listed(
    view: SocketView, holder: Holder | None = None, told: bool = True, **facts_told: Any
) -> Listed:
    """One socket; ``told`` False: the iterator could not be had."""
    holders = {view.inode: (holder,)} if holder else {}
    lister = Lister(holders, lambda h: Process(h.pid, h.comm, h.fd, None))
    known = [facts(view, **facts_told)] if told else None
    netns = Netns(view.netns, view.netns_cookie, "box")
    (one,) = lister.sockets(look([view], known), netns)
    return one


def group(address: str, ifindex: int = 2, named_sources: bool = False) -> Group:
    """A group joined on eth0."""
    return Group(address, ifindex, named_sources)
