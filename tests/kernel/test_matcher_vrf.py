"""The matcher held against the kernel below a VRF: who may take what comes in by which interface.

As test_matcher, with a peer namespace as the sender: one link ends in a VRF, one does not, and
net.ipv4.udp_l3mdev_accept is now set, now not.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kernel.net import Namespace, ip
from tests.kernel.test_matcher import (
    CASES,
    DATAGRAMS_A_ROUND,
    PORT,
    SEED,
    Round,
    agree,
    unlimited_icmp,
)
from tracer.events import Datagram, Family
from tracer.system.netns import Netns, in_netns
from tracer.system.sockets import udp_sockets

VRF, RED, BLUE = "vrf0", "red0", "blue0"
# Link -> the receiver's and the sender's address on it.
ENDS = {
    RED: (("10.8.1.1", "10.8.1.2"), ("fd08:1::1", "fd08:1::2")),
    BLUE: (("10.8.2.1", "10.8.2.2"), ("fd08:2::1", "fd08:2::2")),
}
SENDER_PORT = 6001


@pytest.fixture(scope="module")
def receiver() -> Iterator[Namespace]:
    """Where the sockets are: red0 in a VRF, blue0 beside it."""
    with Namespace("vrf") as namespace, unlimited_icmp(namespace):
        subprocess.run(["modprobe", "vrf"], check=True)
        # Made first, and in one order: their numbers are asked for below.
        ip("-n", namespace.name, "link", "add", VRF, "type", "vrf", "table", "10")
        ip("-n", namespace.name, "link", "set", VRF, "up")
        yield namespace


@pytest.fixture(scope="module")
def sender(receiver: Namespace) -> Iterator[Namespace]:
    """The other end of both links."""
    with Namespace("peer") as namespace:
        for link, families in ENDS.items():
            ip("-n", receiver.name, "link", "add", link, "type", "veth", "peer", "name", link,
               "netns", namespace.name)  # fmt: skip
            if link == RED:
                ip("-n", receiver.name, "link", "set", link, "master", VRF)
            for addresses in families:
                for end, address in zip((receiver, namespace), addresses, strict=True):
                    bits, nodad = ("/64", ["nodad"]) if ":" in address else ("/24", [])
                    ip("-n", end.name, "address", "add", address + bits, "dev", link, *nodad)
            for end in (receiver, namespace):
                ip("-n", end.name, "link", "set", link, "up")
        yield namespace


def test_the_matcher_agrees_with_the_kernel_below_a_vrf(
    receiver: Namespace, sender: Namespace
) -> None:
    rng = random.Random(SEED)
    netns = Netns(receiver.inum, receiver.name, f"/run/netns/{receiver.name}")
    index = in_netns(
        netns, lambda: {name: socket.if_nametoindex(name) for name in (VRF, RED, BLUE)}
    )
    senders = _senders(sender)
    done, outcomes = 0, set()
    while done < CASES // 5:
        accept = rng.random() < 0.5
        subprocess.run(
            ["ip", "netns", "exec", receiver.name, "sysctl", "-qw",
             f"net.ipv4.udp_l3mdev_accept={int(accept)}"],
            check=True,
        )  # fmt: skip
        made = in_netns(netns, lambda: _sockets(rng))
        try:
            played = _round(netns, made)
            for _ in range(DATAGRAMS_A_ROUND):
                outcomes.add(_one(played, senders, index, accept, rng))
            done += DATAGRAMS_A_ROUND
        finally:
            for sock in made:
                sock.close()
    # Both outcomes by both links under both settings, or the rounds prove little.
    assert len(outcomes) == 8, outcomes


def _round(netns: Netns, made: list[socket.socket]) -> Round:
    by_inode = {os.fstat(sock.fileno()).st_ino: sock for sock in made}
    views = in_netns(netns, lambda: udp_sockets(netns.inum, 0).sockets)
    return Round(by_inode, [view for view in views if view.inode in by_inode])


def _sockets(rng: random.Random) -> list[socket.socket]:
    made = []
    for _ in range(rng.randint(1, 4)):
        family = rng.choice((socket.AF_INET, socket.AF_INET6))
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.append(sock)
        with suppress(OSError):  # what the kernel refuses leaves a socket that is a case as well
            if rng.random() < 0.6:
                device = rng.choice((VRF, RED, BLUE)).encode()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            sock.bind(("0.0.0.0" if family == socket.AF_INET else "::", PORT))
    return made


def _senders(namespace: Namespace) -> dict[str, socket.socket]:
    """A sender on each end, told of errors though it is not connected."""
    senders = {}
    for families in ENDS.values():
        for _, address in families:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = namespace.udp(bind=(address, SENDER_PORT), family=family)
            level, option = (socket.IPPROTO_IPV6, 25) if ":" in address else (socket.IPPROTO_IP, 11)
            sock.setsockopt(level, option, 1)  # IPV6_RECVERR, IP_RECVERR
            senders[address] = sock
    return senders


def _one(
    played: Round,
    senders: dict[str, socket.socket],
    index: dict[str, int],
    accept: bool,
    rng: random.Random,
) -> tuple[str, bool, bool]:
    """Send one datagram; the kernel and the matcher must agree on whom the lookup finds."""
    link = rng.choice((RED, BLUE))
    target, source = rng.choice(ENDS[link])
    family: Family = "ipv6" if ":" in source else "ipv4"
    arrival = (index[VRF], index[RED]) if link == RED else (index[BLUE], 0)
    datagram = Datagram(family, source, SENDER_PORT, target, PORT, *arrival, "", 8)
    refused = agree(played, senders[source], datagram, l3mdev_accept=accept)
    return link, accept, refused
