"""Whom a socket takes datagrams from, in words: as the kernel's lookup compares its fields."""

from __future__ import annotations

from tracer.addresses import endpoint, is_any, is_loopback, unmapped
from tracer.events import SocketView
from tracer.match import is_connected
from tracer.states.model import Ends


def meaning_of(view: SocketView, ends: Ends) -> str:
    """``takes datagrams from 10.0.0.1:53 only``, ``takes datagrams from anyone``: of a socket as
    it is. A firewall before it is not looked at."""
    if not view.lport:
        return "takes nothing: it has no port"
    via = f", via {ends.device} only" if ends.device else ""
    return f"takes datagrams {_from_whom(view)}{_at(view)}{via}"


def _from_whom(view: SocketView) -> str:
    if is_connected(view):
        return f"from {endpoint(unmapped(view.peer), view.pport)} only"
    if view.family == "ipv6" and not is_any(view.peer):
        # connect(AF_UNSPEC) leaves it there, and IPv6 lookups go on comparing it.
        return f"over IPv6 from {view.peer} only, its peer before"
    if is_loopback(view.local):
        return "from anyone in its netns"
    return "from anyone over IPv6" if view.v6only and is_any(view.local) else "from anyone"


def _at(view: SocketView) -> str:
    """To which of its addresses, where that is one."""
    if is_any(view.local):
        return ""
    return f", to {unmapped(view.local)}"
