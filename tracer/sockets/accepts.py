"""Whom a socket takes datagrams from, and what stands before it: from its fields, in words.

As the kernel's lookup compares them (tracer/match.py). A firewall is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tracer.addresses import ANY6, endpoint, is_any, is_loopback
from tracer.events import SocketView
from tracer.match import is_connected
from tracer.sockets.model import Listed

Reach = Literal["anyone", "device", "loopback", "peer"]
"""Who can reach it: anyone; anyone through one interface; only its own network namespace; its
peer."""

LOOPBACK_DEVICE = "lo"

STATES = {
    "UNCONN": "not connected, and not listening: UDP has no such state",
    "ESTAB": "connected by connect(): takes datagrams of its peer only",
}
"""The states as ss names them, in plain words."""

BEFORE: dict[Reach, str] = {
    "anyone": "nothing seen",
    "device": "bound to one interface",
    "loopback": "bound to loopback",
    "peer": "connect()",
}
"""What stands before a socket, by its reach; a firewall is not examined."""


# By its v6only flag.
_OF_WILDCARD6 = {True: "anyone over IPv6", False: "anyone", None: "anyone (over IPv4: not known)"}


def reach(listed: Listed) -> Reach:
    """Who can reach a socket, as far as its own fields tell."""
    return _reach(listed.view, listed.device)


def _reach(view: SocketView, device: str | None) -> Reach:
    if is_connected(view):
        return "peer"
    if is_loopback(view.local) or device == LOOPBACK_DEVICE:
        return "loopback"
    return "anyone" if device is None else "device"


def is_exposed(listed: Listed) -> bool:
    """Whether others than its own network namespace and its peer reach it."""
    return reach(listed) in ("anyone", "device")


def exposed(sockets: Iterable[Listed]) -> list[Listed]:
    """Those of the sockets that are."""
    return [listed for listed in sockets if is_exposed(listed)]


def from_whom(listed: Listed) -> str:
    """``anyone``, ``only 10.0.0.1:53``, ``anyone, only via eth0``: without the groups."""
    who = takes_from(listed.view, listed.device)
    return who if listed.place.device_told else f"{who} (interface not known)"


def takes_from(view: SocketView, device: str | None) -> str:
    """The same of any socket, ``device`` being the interface that it is bound to."""
    if is_connected(view):
        who = f"only {endpoint(view.peer, view.pport)}"
    elif not is_any(view.peer):
        # What connect(AF_UNSPEC) leaves, IPv6 lookups go on comparing; IPv4's do not.
        who = f"only {view.peer} over IPv6, any port"
    elif _reach(view, device) == "loopback":
        who = "anyone in its netns"
    else:
        who = _OF_WILDCARD6[view.v6only] if view.local == ANY6 else "anyone"
    return who if device is None else f"{who}, only via {device}"
