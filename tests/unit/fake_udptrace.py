"""The command `udptrace` with a kernel session that invents a miss every 20 ms.

Run as ``python -m tests.unit.fake_udptrace ARGUMENTS...``: all but the kernel is real. With
FAKE_SESSION=silent nothing ever misses, with FAKE_SESSION=busy ten at a time do, with
FAKE_SESSION=bounded it lacks something, with
FAKE_SESSION=failing it fails after a second, with
FAKE_SESSION=exhausted it has no memory left then, with
FAKE_SESSION=broken or =unprivileged the session cannot start.
"""

from __future__ import annotations

import os
import sys
import time
import types
from dataclasses import dataclass, field, replace

from tests.samples import DATAGRAM, MISS
from tracer.cli.main import main
from tracer.errors import StartError, UdptraceError
from tracer.events import Event
from tracer.findings import Finding, degraded
from tracer.kernel.program import Variant

EVERY_MS = 20


@dataclass
class Phases:
    """As tracer.kernel.session.Phases."""

    taken: list[tuple[str, float]] = field(default_factory=lambda: [("compile", 0.25)])
    compiler_mb: float | None = 119.0


class Session:
    """As tracer.kernel.session.Session."""

    probes = ("connect", "icmp")
    unproven = ()
    missing = (("autobind", "no such symbol"),)
    lacking: tuple[Finding, ...] = ()
    behind = False

    def __init__(self, variant: Variant, phases: Phases) -> None:
        if os.environ.get("FAKE_SESSION") == "broken":
            raise StartError("this kernel has no kprobes", "boot another one")
        if os.environ.get("FAKE_SESSION") == "unprivileged":
            raise StartError("loading probes needs root", "sudo udptrace")
        if os.environ.get("FAKE_SESSION") == "bounded":
            self.lacking = (degraded("CAP_X", "without CAP_X", "something is not known"),)
        self._at_once = {"silent": 0, "busy": 10}.get(os.environ.get("FAKE_SESSION", ""), 1)
        self._number = 0

    def poll(self, timeout_ms: int) -> list[Event]:
        """Misses of datagrams that never missed before."""
        if self._number > 1000 // EVERY_MS:
            _fail(os.environ.get("FAKE_SESSION"))
        time.sleep(min(timeout_ms, EVERY_MS) / 1000)
        now = time.monotonic_ns()
        first, self._number = self._number + 1, self._number + self._at_once
        return [_miss(now, number) for number in range(first, self._number + 1)]

    def drain(self) -> list[Event]:
        """Nothing is left."""
        return []

    def close(self) -> None:
        """Nothing to detach."""


def _fail(how: str | None) -> None:
    if how == "failing":
        raise UdptraceError("the session broke")
    if how == "exhausted":
        raise MemoryError


def _miss(now: int, number: int) -> Event:
    datagram = replace(DATAGRAM, sport=1024 + number)
    return replace(MISS, time=now, since=now, datagram=datagram, walk=None)


if __name__ == "__main__":
    fake = types.ModuleType("tracer.kernel.session")
    fake.__dict__.update(Session=Session, Phases=Phases)
    sys.modules["tracer.kernel.session"] = fake
    main()
