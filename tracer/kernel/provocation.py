"""What the self-test does for the probes to see: one connect and one miss of each address family.

It is done in a private network namespace where one can be made: by a thread of this process, which
needs CAP_SYS_ADMIN, or by a child in a user namespace of its own, whose root may. Where neither is
allowed (a seccomp filter can forbid both) it is done on this process's own loopback.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from tracer.errors import StartError
from tracer.events import Call, Close, Created, Datagram, Event, Miss, MissCount, SockError
from tracer.libc import checked

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1

Endpoint = tuple[str, int]


@dataclass
class Provocation:
    """What was done, to be recognised in the events."""

    netns: int = 0
    """Inode number of the network namespace it was done in."""
    private: bool = True
    """Nothing else happens in that namespace."""
    refusers: dict[str, Endpoint] = field(default_factory=dict)
    """By family: the bound and connected socket that refuses the datagram, in the walk."""
    senders: dict[str, Endpoint] = field(default_factory=dict)
    inodes: list[int] = field(default_factory=list)
    """Of the sockets; numbers that no other socket of the machine has meanwhile."""

    def made(self, event: Event) -> bool:
        """Whether an event is of what was done here, and of nobody else."""
        if isinstance(event, Miss | MissCount):
            return event.netns == self.netns and (self.private or self.sent(event.datagram))
        if isinstance(event, Call):
            view = event.after
        elif isinstance(event, Created | Close | SockError):
            view = event.socket
        else:
            return False
        return view.netns == self.netns and (self.private or view.inode in self.inodes)

    def sent(self, datagram: Datagram) -> bool:
        """Whether a datagram is the one that was to miss."""
        ends = (datagram.src, datagram.sport), (datagram.dst, datagram.dport)
        family = datagram.family
        return family in self.senders and ends == (self.senders[family], self.refusers[family])


def provoke() -> Provocation:
    """Make the traffic where it disturbs least. Raises StartError when it can be made nowhere."""
    try:
        return _in_private()
    except OSError as error:
        refusal = error
    try:
        return _traffic(private=False)
    except OSError as error:
        raise StartError(
            f"the start-up self-test can make no private network namespace ({refusal}), nor use"
            f" this one's loopback ({error})",
            "ip link set lo up",
        ) from None


def _in_private() -> Provocation:
    """In a network namespace that is made for it and gone afterwards. Raises OSError."""
    try:
        return _in_thread()
    except OSError:
        return _in_child()


def _in_thread() -> Provocation:
    """setns and unshare act on a thread: the test's leaves its netns behind with the thread."""
    results: list[Provocation | OSError] = []

    def run() -> None:
        try:
            _enter_private(_CLONE_NEWNET)
            results.append(_traffic())
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=run, name="self-test")
    thread.start()
    thread.join()
    return _raised_or(results[0])


def _in_child() -> Provocation:
    """In a process, since only one without threads can go to a user namespace of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(writing)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return _raised_or(_parsed(text))


def _answer(writing: int) -> None:
    """Be the child: write what was done, or the error that prevented it. Never returns."""
    try:
        try:
            _enter_private(_CLONE_NEWUSER | _CLONE_NEWNET)
            told: dict[str, Any] = asdict(_traffic())
        except OSError as error:
            told = {"errno": error.errno, "strerror": error.strerror}
        os.write(writing, json.dumps(told).encode())
    finally:
        os._exit(0)


def _parsed(text: bytes) -> Provocation | OSError:
    told = json.loads(text or b'{"errno": 0, "strerror": "the child ended"}')
    if "errno" in told:
        return OSError(told["errno"], told["strerror"])
    refusers, senders = (
        {family: (address, port) for family, (address, port) in told[role].items()}
        for role in ("refusers", "senders")
    )
    return Provocation(told["netns"], True, refusers, senders, told["inodes"])


def _raised_or(result: Provocation | OSError) -> Provocation:
    if isinstance(result, OSError):
        raise result
    return result


def _enter_private(flags: int) -> None:
    checked(_libc().unshare(flags), "unshare")
    # Not an IP socket, which would be traced.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        state = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", state | _IFF_UP))


def _traffic(private: bool = True) -> Provocation:
    """In the namespace the thread is in. Raises OSError."""
    made = Provocation(os.stat("/proc/thread-self/ns/net").st_ino, private)
    _miss(made, "ipv4", socket.AF_INET, "127.0.0.1")
    # Without IPv6 (ipv6.disable=1) its probes stay unproven, and have nothing to see.
    with suppress(OSError):
        _miss(made, "ipv6", socket.AF_INET6, "::1")
    return made


def _miss(provocation: Provocation, family: str, number: int, address: str) -> None:
    """A socket that takes datagrams from one peer only, and a datagram from another."""
    with (
        socket.socket(number, socket.SOCK_DGRAM) as refuser,
        socket.socket(number, socket.SOCK_DGRAM) as sender,
    ):
        provocation.inodes += [os.fstat(sock.fileno()).st_ino for sock in (refuser, sender)]
        refuser.bind((address, 0))
        refuser.connect((address, 9))
        sender.connect(refuser.getsockname())
        provocation.refusers[family] = refuser.getsockname()[:2]
        provocation.senders[family] = sender.getsockname()[:2]
        sender.send(b"udptrace self-test")
        # Takes ECONNREFUSED away; that it was queued is for the error probe to show.
        sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _disconnect(sender)


def _disconnect(sock: socket.socket) -> None:
    """connect(AF_UNSPEC), which Python's sockets have no word for."""
    checked(_libc().connect(sock.fileno(), bytes(16), 16), "connect(AF_UNSPEC)")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
