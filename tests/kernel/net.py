"""Network namespaces and UDP sockets in them, for scenarios."""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import socket
import subprocess
from contextlib import suppress

from tests.kernel.live import DEADLINE_S
from tracer.system.netns import Netns, in_netns

_serial = itertools.count(1)


def ip(*arguments: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *arguments], check=True)


class Namespace:
    """A network namespace with loopback up; its sockets and itself are gone at the end."""

    def __init__(self, prefix: str) -> None:
        self.name = f"{prefix}{next(_serial)}"
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Namespace:
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        self.inum = os.stat(f"/run/netns/{self.name}").st_ino
        return self

    def __exit__(self, *_exception: object) -> None:
        for sock in self._sockets:
            sock.close()
        ip("netns", "delete", self.name)

    def udp(
        self,
        bind: tuple[str, int] | None = None,
        connect: tuple[str, int] | None = None,
        family: int = socket.AF_INET,
    ) -> socket.socket:
        """A UDP socket of this namespace, bound and connected as asked."""
        netns = Netns(self.inum, self.name, f"/run/netns/{self.name}")
        sock = in_netns(netns, lambda: socket.socket(family, socket.SOCK_DGRAM))
        self._sockets.append(sock)
        sock.setblocking(False)
        if bind is not None:
            sock.bind(bind)
        if connect is not None:
            sock.connect(connect)
        return sock


def disconnect(sock: socket.socket) -> None:
    """connect(AF_UNSPEC), which Python's own connect() cannot say."""
    unspecified = ctypes.create_string_buffer(16)
    assert ctypes.CDLL(None).connect(sock.fileno(), unspecified, 16) == 0


def told(sock: socket.socket) -> int:
    """The error waiting on a socket, as an errno; 0 for none. Reading it takes it away."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def arrival(sock: socket.socket) -> bytes:
    """The next datagram; waits for it, since a busy machine delivers from a kernel thread."""
    readable, _, _ = select.select([sock], [], [], DEADLINE_S)
    assert readable, "no datagram arrived"
    return sock.recv(65536)


def received(sock: socket.socket) -> list[bytes]:
    """The datagrams waiting on a socket."""
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(sock.recv(65536))
    return found
