"""Network namespaces and UDP sockets in them, for scenarios."""

from __future__ import annotations

import ctypes
import itertools
import os
import select
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tests.kernel.live import DEADLINE_S
from tracer.system.netns import Netns, in_netns

T = TypeVar("T")

# With two more members it is IPv6's: flow information and scope.
Address = tuple[str, int] | tuple[str, int, int, int]

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

    def inside(self, function: Callable[[], T]) -> T:
        """The result of a function, run in this namespace; what it starts is there too."""
        return in_netns(Netns(self.inum, self.name, f"/run/netns/{self.name}"), function)

    def run(self, *command: str, text: str = "") -> str:
        """Run a command in this namespace with ``text`` as its input; returns what it printed."""
        done = self.inside(
            lambda: subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        )
        assert done.returncode == 0, (command, text, done.stdout, done.stderr)
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run ip(8) commands, one a line, in one process."""
        self.run("ip", "-batch", "-", text="\n".join(lines))

    def sysctl(self, **settings: str) -> None:
        """Set sysctls of this namespace, below net/: ``ipv4__ip_forward="1"``."""

        def put() -> None:
            for name, value in settings.items():
                Path("/proc/sys/net", name.replace("__", "/")).write_text(value)

        self.inside(put)

    def counters(self) -> dict[str, int]:
        """This namespace's counters: ``IcmpMsgOutType3``, ``Icmp6OutType1``, ``UdpNoPorts``..."""
        proc = Path("/proc/thread-self/net")
        four, six = self.inside(lambda: ((proc / "snmp").read_text(), (proc / "snmp6").read_text()))
        found = {name: int(value) for name, value in map(str.split, six.splitlines())}
        rows = [line.split() for line in four.splitlines()]
        for names, values in zip(rows[::2], rows[1::2], strict=True):
            prefix = names[0].rstrip(":")
            found |= {prefix + n: int(v) for n, v in zip(names[1:], values[1:], strict=True)}
        return found

    def udp(
        self,
        bind: Address | None = None,
        connect: Address | None = None,
        family: int = socket.AF_INET,
    ) -> socket.socket:
        """A UDP socket of this namespace, bound and connected as asked."""
        sock = self.inside(lambda: socket.socket(family, socket.SOCK_DGRAM))
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


def link(one: Namespace, two: Namespace, names: tuple[str, str] = ("eth0", "eth0")) -> None:
    """A veth pair between two namespaces, up, checksums and duplicate addresses left alone."""
    ip("-n", one.name, "link", "add", names[0], "type", "veth", "peer", "name", names[1],
       "netns", two.name)  # fmt: skip
    for namespace, name in ((one, names[0]), (two, names[1])):
        namespace.sysctl(**{f"ipv6__conf__{name}__accept_dad": "0"})
        namespace.ip(f"link set {name} up")


def unlimited_peers(*namespaces: Namespace) -> None:
    """Lift the limits to one peer, which would leave senders untold in quick tests.

    By the mask, not by a rate of 0: that takes away the tokens which ip_error() counts by as well.
    """
    for namespace in namespaces:
        namespace.sysctl(ipv4__icmp_ratemask="0", ipv6__icmp__ratelimit="0")
