"""Private network namespaces for the tests, named so that a left-over one is recognised."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tracer.system.netns import Netns, in_netns


@pytest.fixture(autouse=True)
def _root() -> None:
    """Asked for by name, these tests must not pass by being skipped."""
    assert os.geteuid() == 0, "the tests in tests/system need root"


def ip(*arguments: str) -> str:
    """Run ip(8); its output."""
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@dataclass
class Box:
    """A network namespace of `ip netns`, with its sockets."""

    name: str
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    @property
    def netns(self) -> Netns:
        return Netns(os.stat(self.path).st_ino, self.name, self.path)

    def ip(self, *arguments: str) -> str:
        """Run ip(8) inside."""
        return ip("-n", self.name, *arguments)

    def socket(self, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A UDP socket of the namespace, open until the test's end."""
        opened = in_netns(self.netns, lambda: socket.socket(family, socket.SOCK_DGRAM))
        return self.stack.enter_context(opened)

    def read(self, path: str) -> bytes:
        """A file of the namespace's /proc/net."""
        command = ["ip", "netns", "exec", self.name, "cat", f"/proc/net/{path}"]
        return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture
def box() -> Iterator[Box]:
    """A namespace with loopback up and a second address."""
    made = Box(f"udptrace-test-{uuid.uuid4().hex[:8]}")
    ip("netns", "add", made.name)
    try:
        made.ip("link", "set", "lo", "up")
        made.ip("address", "add", "10.128.135.176/32", "dev", "lo")
        with made.stack:
            yield made
    finally:
        ip("netns", "delete", made.name)
