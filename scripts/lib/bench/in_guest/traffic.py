"""The traffic of traffic.c, compiled by the host."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = "/share/traffic"

NOBODY = 7999
"""A port that no socket is on."""


def measured(*words: object) -> dict[str, float]:
    """What traffic.c prints of a measurement."""
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {done.stderr.strip()}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextmanager
def holding(addresses: int, *ports: int) -> Iterator[None]:
    """A socket on each of the ports of so many addresses, none of which is sent to."""
    words = [PROGRAM, "hold", str(addresses), *map(str, ports)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                raise SystemExit(f"bench: {addresses} sockets on each of {ports} cannot be made")
            yield
        finally:
            process.kill()


def send_one() -> None:
    """A datagram that misses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", NOBODY))
