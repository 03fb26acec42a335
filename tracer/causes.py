"""The causes a miss can have: the one list of them, each with its meaning in one line."""

from __future__ import annotations

from enum import Enum


class Cause(str, Enum):
    """Why no socket took a datagram; the value is the word printed, filtered by and recorded."""

    REMOTE_ADDRESS = "remote-address"
    REMOTE_PORT = "remote-port"
    LOCAL_ADDRESS = "local-address"
    DEVICE = "device"
    IPV6_ONLY = "ipv6-only"
    CLOSED = "closed"
    CONNECT_RACE = "connect-race"
    RACE = "race"
    NO_SOCKET = "no-socket"
    REJECTED = "rejected"
    REMOTE = "remote"

    def __str__(self) -> str:
        return self.value

    @property
    def meaning(self) -> str:
        """One line for help texts and documentation."""
        return _MEANINGS[self]


_MEANINGS = {
    Cause.REMOTE_ADDRESS: (
        "a connected socket on that port takes datagrams from another peer only (address)"
    ),
    Cause.REMOTE_PORT: (
        "a connected socket on that port takes datagrams from another peer only (port)"
    ),
    Cause.LOCAL_ADDRESS: (
        "the socket is bound, or was tied by connect(), to another local address"
    ),
    Cause.DEVICE: "the socket is bound to another interface or VRF",
    Cause.IPV6_ONLY: "an IPv6 socket that does not take IPv4",
    Cause.CLOSED: "a socket that would have matched was closed shortly before",
    Cause.CONNECT_RACE: (
        "a recorded connect() of that socket spans the miss, and the socket matches after it"
    ),
    Cause.RACE: "the socket matches, so it changed or appeared just after the lookup",
    Cause.NO_SOCKET: "nothing is or was there",
    Cause.REJECTED: "no lookup missed: netfilter (or another caller) sent the ICMP",
    Cause.REMOTE: ("a local socket was told and no miss happened here: another machine refused it"),
}
