"""The start-up self-test: one connect and one miss in a private netns prove every probe.

A probe that attaches may still stay silent (kernel.ftrace_enabled=0), a walk may read the wrong
table: so before anything is claimed, the kernel is made to do what the probes are to see.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tracer.errors import UdptraceError
from tracer.events import TCP_ESTABLISHED, Call, Close, Event, Miss, SockError

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

# Everything happens synchronously on loopback; this only bounds the wait for a silent probe on a
# slow, emulated machine.
_DEADLINE_S = 10.0


@dataclass
class Provocation:
    """What was done in the private netns, to be recognised in the events."""

    netns: int = 0
    refuser: tuple[str, int] = ("", 0)
    """The bound and connected socket that refuses the datagram, in the walk."""
    sender: tuple[str, int] = ("", 0)
    error: Exception | None = None


@dataclass
class Proof:
    """Which probes showed what was expected of them, and the events that were not the test's."""

    netns: int
    """Inode number of the private network namespace."""
    seen: set[str] = field(default_factory=set)
    others: list[Event] = field(default_factory=list)


def run(poll: Callable[[int], list[Event]], expected: set[str]) -> Proof:
    """Provoke, then collect until every name of ``expected`` is proven or the time is over.

    ``poll(timeout_ms)`` returns the next events. Raises UdptraceError when the private network
    namespace cannot be made.
    """
    provocation = _provoke()
    proof = Proof(provocation.netns)
    deadline = time.monotonic() + _DEADLINE_S
    while not expected <= proof.seen and time.monotonic() < deadline:
        for event in poll(100):
            if _netns_of(event) == provocation.netns:
                _judge(event, provocation, proof)
            else:
                proof.others.append(event)
    return proof


def _provoke() -> Provocation:
    provocation = Provocation()
    # setns and unshare act on a thread: the test's leaves its netns behind with the thread.
    thread = threading.Thread(target=_guarded_traffic, args=(provocation,), name="self-test")
    thread.start()
    thread.join()
    if provocation.error is not None:
        raise UdptraceError(
            f"the start-up self-test cannot make its private network namespace "
            f"({provocation.error}): it needs root with CAP_SYS_ADMIN"
        )
    return provocation


def _guarded_traffic(provocation: Provocation) -> None:
    try:
        _enter_private_netns()
        provocation.netns = os.stat("/proc/thread-self/ns/net").st_ino
        _traffic(provocation)
    except OSError as error:
        provocation.error = error


def _enter_private_netns() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def _traffic(provocation: Provocation) -> None:
    """A socket that takes datagrams from one peer only, and a datagram from another."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as refuser,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
    ):
        refuser.bind(("127.0.0.1", 0))
        refuser.connect(("127.0.0.1", 9))
        sender.connect(refuser.getsockname())
        six.bind(("::", 0))
        provocation.refuser = refuser.getsockname()
        provocation.sender = sender.getsockname()
        sender.send(b"udptrace self-test")
        sender.setblocking(False)
        try:
            sender.recv(1)
        except OSError:
            return  # ECONNREFUSED, as it should be: the errors probe is what proves it


def _netns_of(event: Event) -> int:
    if isinstance(event, Miss):
        return event.netns
    if isinstance(event, Call):
        return event.after.netns
    if isinstance(event, Close | SockError):
        return event.socket.netns
    return 0


def _judge(event: Event, provocation: Provocation, proof: Proof) -> None:
    if isinstance(event, Call):
        _judge_call(event, provocation, proof)
    elif isinstance(event, SockError):
        if (event.socket.local, event.socket.lport) == provocation.sender:
            proof.seen.add("error")
    elif isinstance(event, Close):
        proof.seen.add("close" if event.socket.family == "ipv4" else "close6")
    elif isinstance(event, Miss):
        _judge_miss(event, provocation, proof)


def _judge_call(call: Call, provocation: Provocation, proof: Proof) -> None:
    after = call.after
    if call.op == "connect":
        # What makes it a proof: the route's source address and the state are there at the return.
        if (
            after.state == TCP_ESTABLISHED
            and (after.peer, after.pport) == provocation.refuser
            and (after.local, after.lport) == provocation.sender
            and call.before.local == "0.0.0.0"
        ):
            proof.seen.add("connect")
    elif call.op == "bind":
        proof.seen.add("bind" if after.family == "ipv4" else "bind6")
    elif after.lport == provocation.sender[1]:
        proof.seen.add("autobind")


def _judge_miss(miss: Miss, provocation: Provocation, proof: Proof) -> None:
    datagram = miss.datagram
    ends = (datagram.src, datagram.sport), (datagram.dst, datagram.dport)
    if ends != (provocation.sender, provocation.refuser) or not miss.proven:
        return
    proof.seen.add("icmp")
    if miss.passes:
        proof.seen.add("lookup")
    if miss.walk and any((c.local, c.lport) == provocation.refuser for c in miss.walk.candidates):
        proof.seen.add("walk")
