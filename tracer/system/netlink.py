"""Netlink requests: a dump or one object, parsed without trusting a length.

Format: include/uapi/linux/netlink.h. A request that reads only; nothing here changes a system.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_NETFILTER = 12

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x001
_NLM_F_DUMP = 0x300
_NLM_F_DUMP_INTR = 0x010

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_RECEIVE_BYTES = 256 << 10
_TIMEOUT_S = 10.0
_ATTEMPTS = 5


class NetlinkError(OSError):
    """The kernel refused a request, or its answer makes no sense. ``errno`` says which."""


class Message(NamedTuple):
    """One netlink message: its type, its flags and what follows its header."""

    type: int
    flags: int
    sequence: int
    body: bytes


def dump(protocol: int, request: int, body: bytes) -> list[bytes]:
    """The bodies of the messages that answer a dump request in the thread's network namespace.

    A dump during which the tables changed is asked for again, a few times; the last one is taken
    as it is. Raises NetlinkError, or OSError where the protocol is not there.
    """
    with _channel(protocol) as channel:
        for sequence in range(1, _ATTEMPTS + 1):
            bodies: list[bytes] = []
            if not _dump_once(channel, request, body, sequence, bodies.append):
                break
        return bodies


def read_dump(protocol: int, request: int, body: bytes, take: Callable[[bytes], None]) -> bool:
    """Hand the body of each message of a dump to ``take`` as it is read, so that none is kept.

    Returns whether the kernel says that the tables changed meanwhile. Raises as `dump` does, and
    what ``take`` raises.
    """
    with _channel(protocol) as channel:
        return _dump_once(channel, request, body, 1, take)


def get(protocol: int, request: int, body: bytes) -> bytes | None:
    """The body of the message that answers a request for one object, None where there is no such.

    In the thread's network namespace. The kernel answers before it lets go of the request, so
    this does not wait. Raises NetlinkError, or OSError where the protocol is not there.
    """
    with _channel(protocol) as channel:
        _send(channel, request, _NLM_F_REQUEST, 1, body)
        for message in parse_messages(_receive(channel)):
            if message.type != _NLMSG_ERROR:
                return message.body
            if _error(message) == errno.ENOENT:
                return None
            _check(message)
        raise NetlinkError(errno.EBADMSG, "netlink request without an answer")


@contextmanager
def _channel(protocol: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as channel:
        channel.settimeout(_TIMEOUT_S)
        channel.bind((0, 0))
        yield channel


def _send(channel: socket.socket, request: int, flags: int, sequence: int, body: bytes) -> None:
    channel.send(_HEADER.pack(_HEADER.size + len(body), request, flags, sequence, 0) + body)


def _dump_once(
    channel: socket.socket,
    request: int,
    body: bytes,
    sequence: int,
    take: Callable[[bytes], None],
) -> bool:
    """Hand over the bodies; returns whether the kernel says that they are not of one moment."""
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    _send(channel, request, flags, sequence, body)
    interrupted = False
    while True:
        for message in parse_messages(_receive(channel)):
            if message.sequence != sequence:
                continue  # the tail of an earlier try
            interrupted = interrupted or bool(message.flags & _NLM_F_DUMP_INTR)
            if message.type in (_NLMSG_DONE, _NLMSG_ERROR):
                _check(message)
                return interrupted
            take(message.body)


def _receive(channel: socket.socket) -> bytes:
    data, _, flags, _ = channel.recvmsg(_RECEIVE_BYTES)
    if flags & socket.MSG_TRUNC:
        raise NetlinkError(errno.EMSGSIZE, "netlink message larger than the buffer")
    return data


def _check(message: Message) -> None:
    """Raise the error that a NLMSG_ERROR or NLMSG_DONE message carries, if it does."""
    code = _error(message)
    if code > 0:
        raise NetlinkError(code, os.strerror(code))


def _error(message: Message) -> int:
    """The errno that a NLMSG_ERROR or NLMSG_DONE message carries, 0 for none. Raises NetlinkError.

    A dump fails through either: through NLMSG_DONE once it has begun.
    """
    if len(message.body) < 4:
        if message.type == _NLMSG_DONE:
            return 0
        raise NetlinkError(errno.EBADMSG, "netlink error message without an error")
    (code,) = struct.unpack_from("=i", message.body)
    return -int(code)


def parse_messages(data: bytes) -> Iterator[Message]:
    """The messages in what one read returned. Raises NetlinkError where a length lies."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise NetlinkError(errno.EBADMSG, "netlink message cut off")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise NetlinkError(errno.EBADMSG, "netlink message with a wrong length")
        yield Message(kind, flags, sequence, data[at + _HEADER.size : at + length])
        at += _aligned(length)


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """The attributes by type, the last of a type winning. Raises NetlinkError."""
    found = {}
    at = 0
    while len(data) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise NetlinkError(errno.EBADMSG, "netlink attribute with a wrong length")
        found[kind & _TYPE_MASK] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
