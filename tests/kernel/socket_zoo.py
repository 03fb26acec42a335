"""UDP sockets of every kind in one network namespace, and what each is known to be."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.kernel.net import Namespace, disconnect

DEVICE = "eth0"
GROUP4, GROUP6 = "239.7.7.7", "ff02::7777"
SOURCE_GROUP = "232.7.7.7"

_SO_COOKIE = 57
_IP_ADD_SOURCE_MEMBERSHIP = 39

Group = tuple[str, str, bool]


@dataclass(frozen=True)
class Known:
    """What making a socket shows of it: where its port came from, and what it has joined."""

    kind: str
    cookie: int
    port_origin: str
    address_bound: bool
    groups: tuple[Group, ...] = ()
    reuseport: bool = False
    members: int | None = None


class _Maker:
    """Makes the sockets, in the namespace; they are closed with ``opened``."""

    def __init__(self, opened: ExitStack, address: str, first: int) -> None:
        self._opened, self._address, self._port = opened, address, first
        self.known: list[Known] = []

    def make(self, copies: int) -> None:
        """So many of each kind."""
        kinds = (
            self.sent, self.connected, self.bound, self.bound_to_zero, self.address_alone,
            self.reconnected, self.v6, self.v6only, self.mapped, self.v6_connected, self.device,
            self.group4, self.group6, self.source_group, self.reuseport, self.queued, self.dropped,
            self.sized, self.owned, self.disconnected, self.inherited,
        )  # fmt: skip
        for kind in kinds * copies:
            kind()

    def sent(self) -> None:
        self._udp().sendto(b"", (self._address, 9))
        self._note("kernel-chosen")

    def connected(self) -> None:
        self._udp().connect((self._address, 9))
        self._note("kernel-chosen")

    def bound(self) -> None:
        self._udp().bind(("", self._next()))
        self._note("bound")

    def bound_to_zero(self) -> None:
        self._udp().bind(("", 0))
        self._note("kernel-chosen")

    def address_alone(self) -> None:
        self._udp().bind((self._address, 0))
        self._note("kernel-chosen", address=True)

    def reconnected(self) -> None:
        sock = self._udp()
        sock.bind((self._address, self._next()))
        sock.connect((self._address, 9))
        sock.connect((self._address, 10))
        self._note("bound", address=True)

    def v6(self) -> None:
        self._udp(socket.AF_INET6).bind(("::", self._next()))
        self._note("bound")

    def v6only(self) -> None:
        sock = self._udp(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::", self._next()))
        self._note("bound")

    def mapped(self) -> None:
        self._udp(socket.AF_INET6).connect((f"::ffff:{self._address}", 9))
        self._note("kernel-chosen")

    def v6_connected(self) -> None:
        sock = self._udp(socket.AF_INET6)
        sock.bind(("::1", self._next()))
        sock.connect(("::1", 9))
        self._note("bound", address=True)

    def device(self) -> None:
        sock = self._udp()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())
        sock.bind(("", self._next()))
        self._note("bound")

    def group4(self) -> None:
        sock = self._udp()
        sock.bind((GROUP4, self._next()))
        joined = socket.inet_aton(GROUP4) + socket.inet_aton(self._address)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        self._note("bound", address=True, groups=((GROUP4, DEVICE, False),))

    def group6(self) -> None:
        sock = self._udp(socket.AF_INET6)
        sock.bind(("::", self._next()))
        index = struct.pack("=I", socket.if_nametoindex(DEVICE))
        raw = socket.inet_pton(socket.AF_INET6, GROUP6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw + index)
        self._note("bound", groups=((GROUP6, DEVICE, False),))

    def source_group(self) -> None:
        sock = self._udp()
        sock.bind(("", self._next()))
        words = (SOURCE_GROUP, self._address, "10.7.7.7")
        sock.setsockopt(
            socket.IPPROTO_IP, _IP_ADD_SOURCE_MEMBERSHIP, b"".join(map(socket.inet_aton, words))
        )
        self._note("bound", groups=((SOURCE_GROUP, DEVICE, True),))

    def reuseport(self) -> None:
        port = self._next()
        for _ in range(3):
            sock = self._udp()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("", port))
            self._note("bound", reuseport=True, members=3)

    def queued(self) -> None:
        self._fill(3)
        self._note("bound", address=True)

    def dropped(self) -> None:
        sock = self._fill(0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        for _ in range(20):
            sock.sendto(bytes(1000), sock.getsockname())
        self._note("bound", address=True)

    def sized(self) -> None:
        sock = self._udp()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 33000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 44000)
        sock.bind(("", self._next()))
        self._note("bound")

    def owned(self) -> None:
        sock = self._udp()
        os.fchown(sock.fileno(), 4242, -1)
        sock.bind(("", self._next()))
        self._note("bound")

    def disconnected(self) -> None:
        sock = self._udp(socket.AF_INET6)
        sock.bind(("::", self._next()))
        sock.connect(("::1", 9))
        disconnect(sock)
        self._note("bound")

    def inherited(self) -> None:
        """Two descriptors of one socket."""
        sock = self._udp()
        sock.bind(("", self._next()))
        self._opened.callback(os.close, os.dup(sock.fileno()))
        self._note("bound")

    def _fill(self, datagrams: int) -> socket.socket:
        sock = self._udp()
        sock.bind((self._address, self._next()))
        for _ in range(datagrams):
            sock.sendto(b"hello", sock.getsockname())
        return sock

    def _udp(self, family: int = socket.AF_INET) -> socket.socket:
        self._sock = self._opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        return self._sock

    def _next(self) -> int:
        self._port += 1
        return self._port

    def _note(
        self,
        port_origin: str,
        address: bool = False,
        groups: tuple[Group, ...] = (),
        reuseport: bool = False,
        members: int | None = None,
    ) -> None:
        raw = self._sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
        (cookie,) = struct.unpack("=Q", raw)
        kind = f"number {len(self.known)}, {self._sock.getsockname()}"
        self.known.append(Known(kind, cookie, port_origin, address, groups, reuseport, members))


@contextmanager
def zoo(namespace: Namespace, address: str, copies: int) -> Iterator[list[Known]]:
    """So many sockets of each kind, on an address of the namespace's ``eth0``."""
    with ExitStack() as opened:
        maker = _Maker(opened, address, 20000)
        namespace.inside(lambda: maker.make(copies))
        yield maker.known
