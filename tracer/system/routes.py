"""What the kernel's routing says of a datagram that comes in, or that stays on the machine.

Asked in the thread's network namespace, as `ip route get fibmatch` does; nothing is sent.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Literal

from tracer.system.netlink import NETLINK_ROUTE, NetlinkError, get, parse_attributes

_RTM_GETROUTE = 26
_RTM_F_FIB_MATCH = 0x2000
_RTA_DST = 1
_RTA_SRC = 2
_RTA_IIF = 3
_RTA_OIF = 4

# rtmsg: family, lengths of the addresses in bits, tos; table, protocol, scope, type; flags.
_RTMSG = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")

Kind = Literal["local", "broadcast", "other"]

# RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST of include/uapi/linux/rtnetlink.h. To a lookup of sockets an
# anycast address is as any other of the machine's.
_KINDS: dict[int, Kind] = {2: "local", 3: "broadcast", 4: "local"}


@dataclass(frozen=True)
class Route:
    """What the destination is to this namespace, and the interface the route names, 0 for none."""

    kind: Kind
    device: int


def route(dst: str, src: str = "", *, iif: int = 0, oif: int = 0) -> Route | None:
    """The route to an address, of a datagram that comes in by ``iif`` where that is given, else of
    one sent here; None where there is none.

    Raises NetlinkError where the kernel refuses the source or the interface, OSError where it
    cannot be asked.
    """
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    to, source = socket.inet_pton(family, dst), socket.inet_pton(family, src) if src else b""
    request = _RTMSG.pack(family, 8 * len(to), 8 * len(source), 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH)
    request += _attribute(_RTA_DST, to)
    request += _attribute(_RTA_SRC, source) if source else b""
    for kind, index in ((_RTA_IIF, iif), (_RTA_OIF, oif)):
        request += _attribute(kind, struct.pack("=I", index)) if index else b""
    try:
        body = get(NETLINK_ROUTE, _RTM_GETROUTE, request)
    except NetlinkError as error:
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return None
        raise
    return None if body is None else parse_route(body)


def parse_route(body: bytes) -> Route:
    """The route of a RTM_NEWROUTE message. Raises NetlinkError."""
    if len(body) < _RTMSG.size:
        raise NetlinkError(errno.EBADMSG, "route message cut off")
    kind = _KINDS.get(_RTMSG.unpack_from(body)[7], "other")
    out = parse_attributes(body[_RTMSG.size :]).get(_RTA_OIF, b"")
    return Route(kind, int.from_bytes(out, sys.byteorder))


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
