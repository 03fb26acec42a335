"""The matcher held against the kernel: random sockets and datagrams, the kernel's own delivery or
ICMP as the oracle. It is asked through what `udptrace check` asks, which so agrees, too.

Each round makes a few sockets on one port in a throwaway netns and sends them datagrams from
several ends. UDPTRACE_SEED chooses other rounds, UDPTRACE_CASES more of them. First of all tests,
while no trace is running that would follow each of its thousands of sockets.
"""

from __future__ import annotations

import errno
import os
import random
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.live import DEADLINE_S
from tests.kernel.net import Namespace, disconnect, ip, received
from tracer.delivery import found
from tracer.events import Datagram, Family, SocketView
from tracer.system.netns import Netns, in_netns
from tracer.system.sockets import udp_sockets

SEED = int(os.environ.get("UDPTRACE_SEED", "20261122"))
CASES = int(os.environ.get("UDPTRACE_CASES", "10000"))
DATAGRAMS_A_ROUND = 20

PORT = 7777
# Ends the sockets and senders draw from: few, so that matches and near misses are common.
ADDRESSES4 = ("127.0.0.1", "127.0.0.2", "10.9.0.1")
ADDRESSES6 = ("::1", "fd00::1", "fd00::2")
ON_DUMMY = ("10.9.0.1", "fd00::2")
SENDER_PORTS = (6001, 6002)
ICMP_LIMITS = ("icmp_msgs_per_sec", "icmp_msgs_burst")
DEVICES = (b"lo", b"dummy0")


@dataclass
class Round:
    """Sockets of one round, by inode, with the kernel's own account of each."""

    sockets: dict[int, socket.socket]
    views: list[SocketView]


def test_the_matcher_agrees_with_the_kernel() -> None:
    rng = random.Random(SEED)
    with Namespace("match") as namespace, unlimited_icmp(namespace):
        _addresses(namespace)
        netns = Netns(namespace.inum, namespace.name, f"/run/netns/{namespace.name}")
        done = 0
        with ExitStack() as opened:
            senders = in_netns(netns, _senders)
            for sender in senders.values():
                opened.enter_context(sender)
            while done < CASES:
                done += _play(netns, senders, rng)
    assert done >= CASES


@contextmanager
def unlimited_icmp(namespace: Namespace) -> Iterator[None]:
    """Every miss has to show: on 5.10 the global rate limit holds for ICMPv6 on loopback as well.

    The limit is the machine's on older kernels, the namespace's on newer ones; the one for each
    peer is the namespace's on all.
    """
    machine = [Path("/proc/sys/net/ipv4") / name for name in (*ICMP_LIMITS, "icmp_ratelimit")]
    machine.append(Path("/proc/sys/net/ipv6/icmp/ratelimit"))
    saved = [path.read_text() for path in machine]
    settings = [f"net.ipv4.{name}=1000000" for name in ICMP_LIMITS]
    settings += ["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"]
    for prefix in ([], ["ip", "netns", "exec", namespace.name]):
        subprocess.run([*prefix, "sysctl", "-q", "-w", *settings], check=False, capture_output=True)
    try:
        yield
    finally:
        for path, value in zip(machine, saved, strict=True):
            path.write_text(value)


def _addresses(namespace: Namespace) -> None:
    ip("-n", namespace.name, "link", "add", "dummy0", "type", "dummy")
    ip("-n", namespace.name, "link", "set", "dummy0", "up")
    ip("-n", namespace.name, "address", "add", "10.9.0.1/24", "dev", "dummy0")
    ip("-n", namespace.name, "address", "add", "fd00::1/128", "dev", "lo", "nodad")
    ip("-n", namespace.name, "address", "add", "fd00::2/64", "dev", "dummy0", "nodad")


Senders = dict[tuple[str, int], socket.socket]


def _play(netns: Netns, senders: Senders, rng: random.Random) -> int:
    """One round; returns its number of datagrams."""
    made = in_netns(netns, lambda: _sockets(rng))
    try:
        views = in_netns(netns, lambda: udp_sockets(netns.inum, 0).sockets)
        by_inode = {os.fstat(sock.fileno()).st_ino: sock for sock in made}
        ours = [view for view in views if view.inode in by_inode]
        for _ in range(DATAGRAMS_A_ROUND):
            _one(Round(by_inode, ours), senders, rng)
    finally:
        for sock in made:
            sock.close()
    return DATAGRAMS_A_ROUND


def _sockets(rng: random.Random) -> list[socket.socket]:
    made = []
    for _ in range(rng.randint(1, 5)):
        family = rng.choice((socket.AF_INET, socket.AF_INET6))
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.append(sock)
        # Whatever the kernel refuses leaves the socket as it is, which is a case as well.
        with suppress(OSError):
            _shape(sock, family, rng)
    return made


def _shape(sock: socket.socket, family: int, rng: random.Random) -> None:
    if family == socket.AF_INET6 and rng.random() < 0.4:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if rng.random() < 0.2:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, rng.choice(DEVICES))
    sock.bind((_local(family, rng), PORT))
    if rng.random() < 0.5:
        sock.connect((_peer(family, rng), rng.choice(SENDER_PORTS)))
    if rng.random() < 0.1:
        disconnect(sock)


def _local(family: int, rng: random.Random) -> str:
    if family == socket.AF_INET:
        return rng.choice(("0.0.0.0", *ADDRESSES4))
    return rng.choice(("::", "::", *ADDRESSES6, f"::ffff:{rng.choice(ADDRESSES4)}"))


def _peer(family: int, rng: random.Random) -> str:
    if family == socket.AF_INET:
        return rng.choice(ADDRESSES4)
    return rng.choice((*ADDRESSES6, f"::ffff:{rng.choice(ADDRESSES4)}"))


def _senders() -> Senders:
    """A sender on each end, told of errors though it is not connected."""
    senders = {}
    for port in SENDER_PORTS:
        for address in ADDRESSES4 + ADDRESSES6:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR
            else:
                sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
            sock.bind((address, port))
            senders[address, port] = sock
    return senders


def _one(played: Round, senders: Senders, rng: random.Random) -> None:
    """Send one datagram; the kernel and the matcher must agree on whom the lookup finds."""
    (source, sport), sender = rng.choice(list(senders.items()))
    addresses = ADDRESSES6 if ":" in source else ADDRESSES4
    destination = rng.choice(addresses)
    family: Family = "ipv6" if ":" in source else "ipv4"
    datagram = Datagram(family, source, sport, destination, PORT, _ifindex(destination), 0, "", 8)
    agree(played, sender, datagram)


def agree(
    played: Round, sender: socket.socket, datagram: Datagram, *, l3mdev_accept: bool = False
) -> bool:
    """Send the datagram; the kernel and the matcher must agree. Returns whether it was refused."""
    looked = found(played.views, datagram, l3mdev_accept=l3mdev_accept)
    takers = {view.inode for view in looked}
    sender.sendto(b"x", (datagram.dst, datagram.dport))
    await_outcome(sender, played)
    delivered = {inode for inode, sock in played.sockets.items() if received(sock)}
    refused = take_error(sender) == errno.ECONNREFUSED
    views = "\n".join(map(str, played.views))
    context = (
        f"seed {SEED}: {datagram} {l3mdev_accept=}: {takers=} {delivered=} {refused=}\n{views}"
    )
    assert len(delivered) + refused == 1, context
    assert bool(takers) == bool(delivered), context
    assert delivered <= takers, context
    return refused


def _ifindex(destination: str) -> int:
    """The interface of the route to an own address, which it is on; the bytes run over lo."""
    return 2 if destination in ON_DUMMY else 1


def await_outcome(sender: socket.socket, played: Round) -> None:
    """Wait for the delivery or the error: a busy machine does either from a kernel thread."""
    outcome = select.poll()
    outcome.register(sender, 0)  # POLLERR is always told
    for sock in played.sockets.values():
        outcome.register(sock, select.POLLIN)
    outcome.poll(DEADLINE_S * 1000)


def take_error(sock: socket.socket) -> int:
    """The error queued on a sender, taken away with its message."""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    with suppress(BlockingIOError):
        while True:
            sock.recvmsg(64, 512, socket.MSG_ERRQUEUE)
    return number
