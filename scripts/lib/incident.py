"""The netcat incident of the seed text, with real nc at both ends, in private network namespaces.

Run as a program it plays runs A and B, saying what it does; tests import Lab, run_a and run_b.

    demo-host       docker0 172.17.0.1/16, eth0 10.128.135.176/24    nc -u -l 56789
    demo-container  eth0    172.17.0.2/16                            nc -u 10.128.135.176 56789
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

HOST_ADDRESS = "10.128.135.176"
BRIDGE_ADDRESS = "172.17.0.1"
CONTAINER_ADDRESS = "172.17.0.2"
PORT = 56789

# Generous: emulation on shared cores is slow, and nothing here is measured.
DEADLINE_S = 60.0


class IncidentError(Exception):
    """The incident could not be played: one line."""


@dataclass
class Lab:
    """The two namespaces and what runs in them; a context manager that leaves nothing behind."""

    host: str = "demo-host"
    container: str = "demo-container"
    say: Callable[[str], None] = lambda text: None
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Lab:
        for name in (self.host, self.container):
            if os.path.exists(f"/run/netns/{name}"):
                raise IncidentError(
                    f"the network namespace {name} exists already: "
                    f"remove it with ip netns delete {name}"
                )
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end(*self._children)
        for name in (self.host, self.container):
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)

    def _make(self) -> None:
        for name in (self.host, self.container):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.host, "link", "add", "docker0", "type", "bridge")
        ip("-n", self.host, "address", "add", f"{BRIDGE_ADDRESS}/16", "dev", "docker0")
        ip("-n", self.host, "link", "set", "docker0", "up")
        ip("-n", self.host, "link", "add", "eth0", "type", "dummy")
        ip("-n", self.host, "address", "add", f"{HOST_ADDRESS}/24", "dev", "eth0")
        ip("-n", self.host, "link", "set", "eth0", "up")
        ip("-n", self.host, "link", "add", "veth0", "type", "veth", "peer", "name", "eth0",
           "netns", self.container)  # fmt: skip
        ip("-n", self.host, "link", "set", "veth0", "master", "docker0", "up")
        ip("-n", self.container, "address", "add", f"{CONTAINER_ADDRESS}/16", "dev", "eth0")
        ip("-n", self.container, "link", "set", "eth0", "up")
        ip("-n", self.container, "route", "add", "default", "via", BRIDGE_ADDRESS)

    def start(self, netns: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in a namespace with a pipe to write to; it dies with the lab at latest.

        Raises IncidentError when it is not installed.
        """
        self.say(f"{netns}$ {' '.join(command)}")
        child = subprocess.Popen(
            ["ip", "netns", "exec", netns, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._children.append(child)
        return child

    def end(self, *children: subprocess.Popen[bytes]) -> None:
        """End these commands now."""
        for child in children:
            child.kill()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()

    def sockets(self, netns: str) -> str:
        """The UDP sockets of a namespace as ss lists them."""
        return ip("netns", "exec", netns, "ss", "-H", "-u", "-a", "-n")


def ip(*arguments: str) -> str:
    """Run ip(8). Raises IncidentError with what it printed."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise IncidentError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Poll until it holds. Raises IncidentError naming ``what`` after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            raise IncidentError(f"waited {DEADLINE_S:.0f} s in vain: {what}")
        time.sleep(0.05)


def write(child: subprocess.Popen[bytes], line: str) -> None:
    """Type a line into a command."""
    pipe: IO[bytes] | None = child.stdin
    assert pipe is not None
    pipe.write(line.encode() + b"\n")


def open_ends(lab: Lab) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Server and client, after the client's first datagram and the connect() it made nc call."""
    server = lab.start(lab.host, "nc.openbsd", "-u", "-l", str(PORT))
    wait_until("the server's socket", lambda: f":{PORT}" in lab.sockets(lab.host))
    client = lab.start(lab.container, "nc.openbsd", "-u", HOST_ADDRESS, str(PORT))
    wait_until(
        "the client's socket", lambda: f"{HOST_ADDRESS}:{PORT}" in lab.sockets(lab.container)
    )
    lab.say("the client sends its first datagram: it arrives, and the server calls connect()")
    write(client, "one")
    wait_until("the server's connect()", lambda: "ESTAB" in lab.sockets(lab.host))
    return server, client


def run_a(lab: Lab) -> None:
    """The client sends twice: the second datagram misses the server's socket."""
    server, client = open_ends(lab)
    lab.say("the client sends its second datagram")
    write(client, "two")
    wait_until("the client's end, told ECONNREFUSED", lambda: client.poll() is not None)
    lab.end(server)


def run_b(lab: Lab) -> None:
    """The server answers: its datagram misses the client's socket, and then the server is gone."""
    server, client = open_ends(lab)
    lab.say("the server answers")
    write(server, "answer")
    wait_until("the server's end, told ECONNREFUSED", lambda: server.poll() is not None)
    lab.say("the client sends again")
    write(client, "two")
    wait_until("the client's end, told ECONNREFUSED", lambda: client.poll() is not None)


def main() -> int:
    """Play both runs."""

    def say(text: str) -> None:
        print(f"  # {text}", file=sys.stderr, flush=True)

    try:
        with Lab(say=say) as lab:
            say("run A: the client sends twice")
            run_a(lab)
            say("run B: the server answers")
            run_b(lab)
    except (IncidentError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
