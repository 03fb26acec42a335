"""The sockets as `ss -nuapem` tells of them, in the fields of `udptrace sockets -f json`."""

from __future__ import annotations

import re
from typing import Any

from tests.kernel.net import Namespace

_PROCESS = re.compile(r'\("([^"]*)",pid=(\d+),fd=(\d+)\)')


def listed_by_ss(namespace: Namespace) -> dict[int, dict[str, Any]]:
    """By cookie: the namespace's UDP sockets."""
    printed = namespace.run("ss", "-nuapemOH")
    return dict(map(_socket, filter(None, printed.splitlines())))


def _socket(line: str) -> tuple[int, dict[str, Any]]:
    state, rx, tx, local, peer, *rest = line.split()
    told = dict(word.split(":", 1) for word in rest if ":" in word)
    local, device = _without_device(local)
    memory = dict(re.findall(r"([a-z]+)(\d+)", told["skmem"]))
    return int(told["sk"], 16), {
        "state": state,
        "rx": int(rx),
        "tx": int(tx),
        "local": local,
        "device": device,
        # A peer's address that a disconnect left, as port *, is none.
        "peer": None if peer.endswith(":*") else peer,
        "inode": int(told["ino"]),
        "uid": int(told.get("uid", 0)),
        "v6only": told["v6only"] == "1" if "v6only" in told else None,
        "skmem": {letters: int(value) for letters, value in memory.items()},
        "processes": sorted((c, int(p), int(f)) for c, p, f in _PROCESS.findall(line)),
    }


def _without_device(endpoint: str) -> tuple[str, str | None]:
    """``0.0.0.0%eth0:53`` -> the endpoint and the device; ``*:53`` is a dual-stack wildcard."""
    address, _, port = endpoint.rpartition(":")
    address, _, device = address.partition("%")
    return f"{'[::]' if address == '*' else address}:{port}", device or None
