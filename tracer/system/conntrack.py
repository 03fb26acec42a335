"""What connection tracking knows of one datagram, in the thread's network namespace.

One GET of ctnetlink (net/netfilter/nf_conntrack_netlink.c:ctnetlink_get_conntrack) by a tuple. The
kernel finds an entry by the tuple of either of its directions. A datagram that arrived is asked for
by the inverse of its ends: each direction's tuple is what the datagrams of that direction look like
before their translation, and so its inverse is what those of the other direction are turned into.

Entries of a conntrack zone other than 0 (iptables' CT target, Open vSwitch) are not found: one asks
for a zone by its number.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import Literal

from tracer.events import Family, FourTuple
from tracer.system.netlink import NETLINK_NETFILTER, NetlinkError, get, parse_attributes

# include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_NFGENMSG = struct.Struct("=BBH")
_TUPLE_ORIG = 1
_TUPLE_REPLY = 2
_STATUS = 3
_TIMEOUT = 7
_TUPLE_IP = 1
_TUPLE_PROTO = 2
_PROTO_NUM = 1
_PROTO_SRC_PORT = 2
_PROTO_DST_PORT = 3
_NESTED = 0x8000
_ATTRIBUTE = struct.Struct("=HH")

# The attributes of source and destination: CTA_IP_V4_SRC and the next, CTA_IP_V6_SRC and the next.
_ADDRESSES = {"ipv4": (socket.AF_INET, 4, 1), "ipv6": (socket.AF_INET6, 16, 3)}

_MODULE = "/sys/module/nf_conntrack"


@dataclass(frozen=True)
class Entry:
    """A conntrack entry as one datagram met it: its ends before, its direction, the entry's state.

    ``status`` are IPS_ bits, ``timeout`` is in seconds; None where they were not told.
    """

    before: FourTuple
    direction: Literal["original", "reply"]
    status: int | None
    timeout: int | None


def is_tracking() -> bool:
    """Whether the kernel has connection tracking now: nf_conntrack is built in or loaded.

    To be asked before `find_entry`: opening a NETLINK_NETFILTER socket loads nfnetlink, and the
    request nf_conntrack_netlink with all of conntrack below it, into a kernel that did without.
    Where conntrack is there, all that a request can load is its netlink interface.
    """
    return os.path.isdir(_MODULE)


def find_entry(family: Family, datagram: FourTuple) -> Entry | None:
    """The entry that a UDP datagram with these ends came out of, None where there is none.

    Raises NetlinkError, or OSError where ctnetlink cannot be had.
    """
    asked = _inverse(datagram)
    body = get(NETLINK_NETFILTER, _GET, request(family, asked))
    return None if body is None else parse_entry(body, family, asked)


def request(family: Family, asked: FourTuple) -> bytes:
    """The body of a request for the entry that has this tuple in one of its directions."""
    number, _, source = _ADDRESSES[family]
    addresses = _attribute(source, socket.inet_pton(number, asked.src))
    addresses += _attribute(source + 1, socket.inet_pton(number, asked.dst))
    ports = _attribute(_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    ports += _attribute(_PROTO_SRC_PORT, asked.sport.to_bytes(2, "big"))
    ports += _attribute(_PROTO_DST_PORT, asked.dport.to_bytes(2, "big"))
    parts = _attribute(_TUPLE_IP | _NESTED, addresses) + _attribute(_TUPLE_PROTO | _NESTED, ports)
    return _NFGENMSG.pack(number, 0, 0) + _attribute(_TUPLE_ORIG | _NESTED, parts)


def parse_entry(body: bytes, family: Family, asked: FourTuple) -> Entry:
    """The entry of a IPCTNL_MSG_CT_NEW message, which has to have the tuple asked for.

    Raises NetlinkError.
    """
    attributes = parse_attributes(body[_NFGENMSG.size :])
    original = _tuple(attributes.get(_TUPLE_ORIG, b""), family)
    reply = _tuple(attributes.get(_TUPLE_REPLY, b""), family)
    status, timeout = _number(attributes.get(_STATUS)), _number(attributes.get(_TIMEOUT))
    # What answers to the reply's tuple goes the original way, and the other way round.
    if asked == reply:
        return Entry(original, "original", status, timeout)
    if asked == original:
        return Entry(reply, "reply", status, timeout)
    raise NetlinkError(errno.EBADMSG, "a conntrack entry that was not asked for")


def _inverse(ends: FourTuple) -> FourTuple:
    return FourTuple(ends.dst, ends.dport, ends.src, ends.sport)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _tuple(data: bytes, family: Family) -> FourTuple:
    """The ends in a CTA_TUPLE attribute. Raises NetlinkError."""
    parts = parse_attributes(data)
    addresses = parse_attributes(parts.get(_TUPLE_IP, b""))
    ports = parse_attributes(parts.get(_TUPLE_PROTO, b""))
    number, size, source = _ADDRESSES[family]
    ends = addresses.get(source, b""), addresses.get(source + 1, b"")
    numbers = ports.get(_PROTO_SRC_PORT, b""), ports.get(_PROTO_DST_PORT, b"")
    if {len(end) for end in ends} != {size} or {len(port) for port in numbers} != {2}:
        raise NetlinkError(errno.EBADMSG, "conntrack tuple with a wrong length")
    src, dst = (socket.inet_ntop(number, end) for end in ends)
    sport, dport = (int.from_bytes(port, "big") for port in numbers)
    return FourTuple(src, sport, dst, dport)


def _number(value: bytes | None) -> int | None:
    return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None
