"""The start-up self-test: one connect and one miss in a private netns prove every probe.

A probe that attaches may still stay silent (kernel.ftrace_enabled=0), a walk may read the wrong
table: so before anything is claimed, the kernel is made to do what the probes are to see.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tracer.errors import StartError
from tracer.events import TCP_ESTABLISHED, Call, Close, Event, IcmpFate, Miss, SockError
from tracer.kernel.features import REPORT_IT

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

# Everything happens synchronously on loopback; this only bounds the wait for a silent probe on a
# slow, emulated machine.
_DEADLINE_S = 10.0


_REMEDIES: dict[int | None, str] = {
    errno.EPERM: "run it with CAP_SYS_ADMIN and CAP_NET_ADMIN: sudo udptrace",
    errno.ENOSPC: "sysctl user.max_net_namespaces=1024",
}

Endpoint = tuple[str, int]


@dataclass
class Provocation:
    """What was done in the private netns, to be recognised in the events."""

    netns: int = 0
    refusers: dict[str, Endpoint] = field(default_factory=dict)
    """By family: the bound and connected socket that refuses the datagram, in the walk."""
    senders: dict[str, Endpoint] = field(default_factory=dict)
    error: OSError | None = None


@dataclass
class Proof:
    """Which probes showed what was expected of them, and the events that were not the test's."""

    netns: int
    """Inode number of the private network namespace."""
    seen: set[str] = field(default_factory=set)
    others: list[Event] = field(default_factory=list)
    misses: dict[int, str] = field(default_factory=dict)
    """Time of each miss provoked -> the suffix of its family's probes."""
    untried: set[str] = field(default_factory=set)
    """Names of IPv6 probes, where a new network namespace has no IPv6."""


def run(poll: Callable[[int], list[Event]], expected: set[str]) -> Proof:
    """Provoke, then collect until every name of ``expected`` is proven or the time is over.

    ``poll(timeout_ms)`` returns the next events. Raises StartError when the private network
    namespace cannot be made.
    """
    provocation = _provoke()
    proof = Proof(provocation.netns)
    if "ipv6" not in provocation.senders:
        proof.untried = {name for name in expected if name.endswith(_suffix("ipv6"))}
    deadline = time.monotonic() + _DEADLINE_S
    while not expected <= proof.seen | proof.untried and time.monotonic() < deadline:
        for event in poll(100):
            if isinstance(event, IcmpFate) and event.miss in proof.misses:
                _judge_fate(event, proof)
            elif _netns_of(event) == provocation.netns:
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
        raise StartError(
            f"the start-up self-test cannot make its private network namespace "
            f"({provocation.error})",
            _REMEDIES.get(provocation.error.errno, REPORT_IT),
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
    _miss(provocation, "ipv4", socket.AF_INET, "127.0.0.1")
    # Without IPv6 (ipv6.disable=1) its probes stay unproven, and have nothing to see.
    with suppress(OSError):
        _miss(provocation, "ipv6", socket.AF_INET6, "::1")


def _miss(provocation: Provocation, family: str, number: int, address: str) -> None:
    """A socket that takes datagrams from one peer only, and a datagram from another."""
    with (
        socket.socket(number, socket.SOCK_DGRAM) as refuser,
        socket.socket(number, socket.SOCK_DGRAM) as sender,
    ):
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
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(sock.fileno(), bytes(16), 16):
        number = ctypes.get_errno()
        raise OSError(number, f"connect(AF_UNSPEC): {os.strerror(number)}")


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
        if (event.socket.local, event.socket.lport) in provocation.senders.values():
            proof.seen.add("error")
            if event.icmp is not None:
                proof.seen.add("icmp-error" + _suffix(event.socket.family))
    elif isinstance(event, Close):
        proof.seen.add("close" + _suffix(event.socket.family))
    elif isinstance(event, Miss):
        _judge_miss(event, provocation, proof)


def _suffix(family: str) -> str:
    """What an IPv6 probe's name has after its IPv4 twin's."""
    return "" if family == "ipv4" else "6"


def _judge_call(call: Call, provocation: Provocation, proof: Proof) -> None:
    after = call.after
    sender = provocation.senders.get(after.family)
    if call.op == "connect":
        # What makes it a proof: the route's source address and the state are there at the return.
        if (
            after.state == TCP_ESTABLISHED
            and (after.peer, after.pport) == provocation.refusers.get(after.family)
            and (after.local, after.lport) == sender
            and call.before.local in ("0.0.0.0", "::")
        ):
            proof.seen.add("connect" + _suffix(after.family))
    elif call.op == "bind":
        proof.seen.add("bind" + _suffix(after.family))
    elif call.op == "disconnect":
        if call.before.state == TCP_ESTABLISHED and after.state != TCP_ESTABLISHED:
            proof.seen.add("disconnect")
    elif sender and after.lport == sender[1]:
        proof.seen.add("autobind")


def _judge_miss(miss: Miss, provocation: Provocation, proof: Proof) -> None:
    datagram = miss.datagram
    suffix = _suffix(datagram.family)
    sender = provocation.senders.get(datagram.family)
    refuser = provocation.refusers.get(datagram.family)
    ends = (datagram.src, datagram.sport), (datagram.dst, datagram.dport)
    if ends != (sender, refuser) or not miss.proven:
        return
    proof.seen.add("icmp" + suffix)
    proof.misses[miss.time] = suffix
    if miss.passes:
        proof.seen.add("lookup" + suffix)
    if miss.walk and any((c.local, c.lport) == refuser for c in miss.walk.candidates):
        proof.seen.add("walk")


def _judge_fate(fate: IcmpFate, proof: Proof) -> None:
    # Loopback knows no limit: an ICMP that is not seen to leave is a probe that does not work.
    if fate.status == "sent":
        proof.seen.add("push" + proof.misses[fate.miss])
