"""The UDP sockets of the thread's network namespace, as udp_diag or /proc/net/udp tells them.

udp_diag is what `ss` uses. It tells cookie, device and the v6only flag, which /proc does not, but
on many distributions it is a module, which may be missing.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracer.events import SocketView
from tracer.sockets.detail import Detail, Memory
from tracer.system.endpoints import socket_view
from tracer.system.netlink import (
    NETLINK_SOCK_DIAG,
    NetlinkError,
    dump,
    parse_attributes,
    read_dump,
)

_SOCK_DIAG_BY_FAMILY = 20
_INET_DIAG_SKMEMINFO = 7
_INET_DIAG_SKV6ONLY = 11
_ALL_STATES = 0xFFFFFFFF

# inet_diag_req_v2: family, protocol, extensions, states; then the socket's id, of which only the
# local port is set, in network order (0: any).
_REQUEST = struct.Struct("=BBBxI2s46x")
# inet_diag_msg: family, state, timer, retrans; sport, dport (network order), src, dst, ifindex,
# cookie in two halves; expires, rqueue, wqueue, uid, inode.
_MESSAGE = struct.Struct("=BBBB2s2s16s16sIIIIIIII")
# The extensions asked for, as a bit each.
_EXTENSIONS = 1 << (_INET_DIAG_SKMEMINFO - 1)
# SK_MEMINFO_*: those of `Memory` in its order, then the drops (include/uapi/linux/sock_diag.h).
_SKMEMINFO = struct.Struct("=9I")


@dataclass(frozen=True)
class Dump:
    """The sockets of a namespace; ``reason`` is why udp_diag was not used, empty if it was."""

    details: tuple[Detail, ...]
    source: Literal["udp_diag", "proc"]
    reason: str = ""

    @property
    def sockets(self) -> tuple[SocketView, ...]:
        """Without their queues."""
        return tuple(detail.view for detail in self.details)


def udp_sockets(netns: int, netns_cookie: int, *, memory: bool = True) -> Dump:
    """Every UDP socket with a port in the thread's netns, whose identity is passed in.

    ``memory``: with their buffers and drops, which the kernel tells of each in an attribute more.
    Falls back to /proc where udp_diag cannot be had. Raises OSError when neither can be read.
    """
    try:
        sockets = [
            parse_diag(body, netns, netns_cookie, memory=memory)
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in dump(
                NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _request(family, memory=memory)
            )
        ]
        return Dump(tuple(sockets), "udp_diag")
    except OSError as error:
        reason = f"udp_diag: {error.strerror or error}"
        # Not /proc/self: that is the main thread's namespace.
        found = proc_sockets(Path("/proc/thread-self/net"), netns, netns_cookie)
        return Dump(tuple(found), "proc", reason)


def read_port(port: int, netns: int, netns_cookie: int, take: Callable[[SocketView], None]) -> bool:
    """Hand every UDP socket on a port of the thread's netns to ``take``, as it is read.

    The kernel selects by the port (net/ipv4/udp_diag.c:udp_dump). Returns whether it says that the
    sockets changed meanwhile. Raises OSError where udp_diag cannot be had.
    """
    changed = False
    for family in (socket.AF_INET, socket.AF_INET6):
        changed |= read_dump(
            NETLINK_SOCK_DIAG,
            _SOCK_DIAG_BY_FAMILY,
            _request(family, port),
            lambda body: take(parse_diag(body, netns, netns_cookie).view),
        )
    return changed


def read_details(family: int, netns: int, take: Callable[[Detail], None]) -> None:
    """Hand every UDP socket of a family of the thread's netns to ``take``, as it is read.

    Raises OSError where udp_diag cannot be had, and what ``take`` raises.
    """
    read_dump(
        NETLINK_SOCK_DIAG,
        _SOCK_DIAG_BY_FAMILY,
        _request(family),
        lambda body: take(parse_diag(body, netns, 0)),
    )


def _request(family: int, port: int = 0, memory: bool = True) -> bytes:
    extensions = _EXTENSIONS if memory else 0
    return _REQUEST.pack(
        family, socket.IPPROTO_UDP, extensions, _ALL_STATES, port.to_bytes(2, "big")
    )


def parse_diag(body: bytes, netns: int, netns_cookie: int, *, memory: bool = True) -> Detail:
    """The socket of an inet_diag_msg with its attributes. Raises NetlinkError.

    ``memory``: its buffers and drops are wanted.
    """
    if len(body) < _MESSAGE.size:
        raise NetlinkError(errno.EBADMSG, "socket message cut off")
    family, state, _, _, sport, dport, src, dst, device, low, high, _, rx, tx, uid, inode = (
        _MESSAGE.unpack_from(body)
    )
    if family not in (socket.AF_INET, socket.AF_INET6):
        raise NetlinkError(errno.EBADMSG, f"socket message of address family {family}")
    size = 4 if family == socket.AF_INET else 16
    # None of an IPv4 socket's is looked at but the memory.
    told = memory or family == socket.AF_INET6
    attributes = parse_attributes(body[_MESSAGE.size :]) if told else {}
    # The kernel tells it of AF_INET6 sockets that are not connected.
    v6only = attributes.get(_INET_DIAG_SKV6ONLY)
    buffers, drops = _memory(attributes.get(_INET_DIAG_SKMEMINFO, b""))
    view = socket_view(
        family=family,
        state=state,
        local=(src[:size], int.from_bytes(sport, "big")),
        peer=(dst[:size], int.from_bytes(dport, "big")),
        netns=netns,
        netns_cookie=netns_cookie,
        inode=inode,
        uid=uid,
        cookie=high << 32 | low,
        device=device,
        v6only=None if v6only is None else v6only != b"\0",
    )
    return Detail(view, rx, tx, drops, buffers)


def _memory(attribute: bytes) -> tuple[Memory | None, int | None]:
    """The buffers and the drops of a INET_DIAG_SKMEMINFO; None where it does not tell them."""
    if len(attribute) < _SKMEMINFO.size:
        return None, None
    *values, drops = _SKMEMINFO.unpack_from(attribute)
    return Memory(*values), drops


def proc_sockets(directory: Path, netns: int, netns_cookie: int) -> list[Detail]:
    """From a /proc/PID/net's udp and udp6; a kernel without IPv6 has no udp6. Raises OSError."""
    found = parse_proc((directory / "udp").read_bytes(), socket.AF_INET, netns, netns_cookie)
    try:
        text = (directory / "udp6").read_bytes()
    except FileNotFoundError:
        return found
    return found + parse_proc(text, socket.AF_INET6, netns, netns_cookie)


def parse_proc(text: bytes, family: int, netns: int, netns_cookie: int) -> list[Detail]:
    """The sockets of a /proc/net/udp or udp6 text; lines that make no sense are left out."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        try:
            view = socket_view(
                family=family,
                state=int(fields[3], 16),
                local=_proc_endpoint(fields[1], family),
                peer=_proc_endpoint(fields[2], family),
                netns=netns,
                netns_cookie=netns_cookie,
                inode=int(fields[9]),
                uid=int(fields[7]),
            )
            tx, rx = (int(queue, 16) for queue in fields[4].split(b":"))
            # The last of thirteen (net/ipv4/udp.c:udp4_format_sock).
            drops = int(fields[12]) if len(fields) > 12 else None
        except (IndexError, ValueError):
            continue
        found.append(Detail(view, rx, tx, drops))
    return found


def _proc_endpoint(text: bytes, family: int) -> tuple[bytes, int]:
    """(address, port) of "0100007F:1F90": 32-bit words in the machine's byte order."""
    address, port = text.split(b":")
    raw = bytes.fromhex(address.decode("ascii"))
    words = struct.unpack(f">{1 if family == socket.AF_INET else 4}I", raw)
    return struct.pack(f"={len(words)}I", *words), int(port, 16)
