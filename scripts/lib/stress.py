"""The figures of scripts/stress, made in the VM: what is counted, and what the tracer costs."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from tests.kernel.bpf_objects import objects
from tests.kernel.live import Live, lost, wait_for
from tests.kernel.net import Namespace
from tests.kernel.storm import Volley

LO = "127.0.0.1"
EVERY_S = 10.0
"""Between two looks at the tracer's memory."""

GROWTH_MB = 4
"""Memory may differ by so much between the middle of a run and its end: no arena is given back."""

# A server that answers one client only, and a client that ends after it was told.
VISITOR = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 7000))
server.connect(("127.0.0.1", 6999))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("127.0.0.1", 7000))
friend = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
friend.bind(("127.0.0.1", 6999))
for _ in range(20):
    friend.sendto(b"taken", ("127.0.0.1", 7000))
    server.recv(9)
client.send(b"refused")
try:
    client.recv(9)
except ConnectionRefusedError:
    pass
server.close()
for port in range(7000, 7005):
    friend.sendto(b"nobody", ("127.0.0.1", port))
"""
VISITORS_MISSES = 6


@dataclass
class Watched:
    """A tracer, and what was seen of it: (seconds, resident MB, open files)."""

    trace: Live
    began: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, float, int]] = field(default_factory=list)

    def look(self, *, always: bool = False) -> None:
        """Note its memory and files, now and then."""
        age = time.monotonic() - self.began
        if not always and self.seen and age < self.seen[-1][0] + EVERY_S:
            return
        files = os.listdir(f"/proc/{self.trace.process.pid}/fd")
        self.seen.append((age, self.trace.resident_mb(), len(files)))

    def processor(self) -> float:
        """Seconds of processor time it has taken."""
        stat = Path("/proc", str(self.trace.process.pid), "stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def counted(self) -> int:
        """The misses told of so far."""
        return sum(incident["count"] for incident in self.trace.incidents())

    def rows(self) -> list[list[object]]:
        """What it took of the machine."""
        sizes = [resident for _, resident, _ in self.seen]
        files = [count for _, _, count in self.seen]
        return [
            ["resident memory, MB: at first, at most, at last",
             f"{sizes[0]:.0f}, {max(sizes):.0f}, {sizes[-1]:.0f}"],
            ["open files: at first, at most, at last", f"{files[0]}, {max(files)}, {files[-1]}"],
            ["lost", ", ".join(f"{n} {what}" for what, n in lost(self.trace).items()) or "nothing"],
        ]  # fmt: skip


@contextmanager
def watched(*arguments: str) -> Iterator[Watched]:
    """A trace of the whole machine that is ready."""
    with tempfile.TemporaryDirectory() as directory:
        tracer = Watched(Live(Path(directory), *arguments))
        tracer.look()
        yield tracer
        tracer.trace.stop()


@dataclass(frozen=True)
class Counted:
    """Misses made and told, and what that took. ``no_ports``: by the kernel's count, which is less
    than what was sent if loopback had no room; ``unkept``: said to be lost altogether; ``over_s``:
    until all was told, ``used_s`` of it the tracer's processor time."""

    tracer: Watched
    four_tuples: int
    sent: int
    no_ports: int
    counts: tuple[int, ...]
    unkept: int
    used_s: float
    over_s: float

    @property
    def unaccounted(self) -> int:
        """How many are neither told nor said to be lost, or told twice."""
        return abs(self.no_ports - sum(self.counts) - self.unkept)

    @property
    def good(self) -> bool:
        """Every miss is accounted for; where nothing was lost, each with its four-tuple."""
        each = (self.sent // self.four_tuples,) * self.four_tuples
        lossless = self.no_ports == self.sent and not self.unkept
        return not self.unaccounted and (self.counts == each or not lossless)

    def rows(self) -> list[list[object]]:
        """As they are shown."""
        return [
            ["sent", f"{self.sent:,}"],
            ["NoPorts", f"{self.no_ports:,}"],
            ["told", f"{sum(self.counts):,} in {len(self.counts):,} incidents"],
            ["said to be lost altogether", f"{self.unkept:,}"],
            ["the tracer's processor time",
             f"{self.used_s:.1f} s of {self.over_s:.0f} s until all was told"],
        ]  # fmt: skip


def storm(misses: int, four_tuples: int) -> Counted:
    """Misses over some four-tuples as fast as can be: are all counts exact?"""
    return _shot([(LO, 1000 + number) for number in range(four_tuples)], misses)


def scan(ports: int) -> Counted:
    """As many four-tuples as ports: is all that is not told said to be missing?"""
    return _shot([(f"127.0.{n // 60000}.1", 1000 + n % 60000) for n in range(ports)], ports)


def _shot(ends: list[tuple[str, int]], misses: int) -> Counted:
    """Volleys of a datagram to each of these, so many in all."""
    with Namespace("storm") as space, watched() as tracer:
        volley, sender = Volley(ends), space.udp(bind=(LO, 999))
        began, used = time.monotonic(), tracer.processor()
        sent = 0
        while sent < misses:
            sent += volley.send(sender)
            tracer.look()
        time.sleep(1)  # for the last of them to be received
        no_ports = space.counters()["UdpNoPorts"]
        settled(tracer, no_ports)
        return Counted(
            tracer,
            len(ends),
            sent,
            no_ports,
            tuple(incident["count"] for incident in tracer.trace.incidents()),
            lost(tracer.trace).get("uncounted", 0),
            tracer.processor() - used,
            time.monotonic() - began,
        )


def settled(tracer: Watched, misses: int) -> None:
    """Wait until nothing more is told: all misses, or all that were not lost."""

    def all_told() -> bool:
        tracer.look()
        return tracer.counted() + lost(tracer.trace).get("uncounted", 0) >= misses

    wait_for(all_told, lambda: f"{misses} misses told; {tracer.counted()} are")
    tracer.look(always=True)


@dataclass(frozen=True)
class Soaked:
    """What came and went, and what is left of it: BPF objects that the tracer has had at its start
    and has still (``kept``), and others that outlive it (``left``)."""

    tracer: Watched
    duration: int
    visits: int
    sent: int
    told: int
    kept: bool
    left: bool

    @property
    def quarters_mb(self) -> tuple[float, float]:
        """The median of the resident memory in the third quarter, and in the last."""
        seen = self.tracer.seen
        third, last = seen[len(seen) // 2 : len(seen) * 3 // 4], seen[len(seen) * 3 // 4 :]
        return middle_of(third), middle_of(last)

    @property
    def good(self) -> bool:
        """Every miss is told, nothing grows, and nothing stays behind."""
        third, last = self.quarters_mb
        files = [count for _, _, count in self.tracer.seen]
        steady = last - third <= GROWTH_MB and files[-1] <= files[0] + 1
        return self.told == self.sent and self.kept and not self.left and steady

    def rows(self) -> list[list[object]]:
        """As they are shown."""
        third, last = self.quarters_mb
        return [
            ["namespaces and processes", f"{self.visits:,} in {self.duration} s"],
            ["misses", f"{self.sent:,} sent, {self.told:,} told"],
            ["resident memory, MB: third quarter, last quarter", f"{third:.1f}, {last:.1f}"],
            ["BPF objects", f"{'as at the start' if self.kept else 'others'}, then "
                            f"{'some are left' if self.left else 'all gone'}"],
        ]  # fmt: skip


def soak(duration: int) -> Soaked:
    """Namespaces and processes that come, miss and go: does anything grow, or stay behind?"""
    before = objects()
    with watched() as tracer:
        mine = objects()
        sent = visits = 0
        while time.monotonic() - tracer.began < duration:
            sent += visit()
            visits += 1
            tracer.look()
        settled(tracer, sent)
        told, kept = tracer.counted(), objects() == mine
    return Soaked(tracer, duration, visits, sent, told, kept, objects() != before)


def middle_of(seen: list[tuple[float, float, int]]) -> float:
    """The median of the resident memory."""
    return sorted(resident for _, resident, _ in seen)[len(seen) // 2]


def visit() -> int:
    """A namespace with a process that misses in it, both gone at the end; returns the misses."""
    with Namespace("soak") as space:
        space.run("python3", "-c", VISITOR)
        sender = space.udp(family=socket.AF_INET6)
        for _ in range(11):
            sender.sendto(b"nobody", ("::1", 7000))
    return VISITORS_MISSES + 11


def main(arguments: list[str]) -> int:
    """Exit status 0 when all is exact and nothing grows."""
    parser = argparse.ArgumentParser(prog="scripts/stress")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, (_, options) in KINDS.items():
        sub = kinds.add_parser(kind)
        for name, default in options.items():
            sub.add_argument(name, type=int, default=default)
    chosen = vars(parser.parse_args(arguments))
    kind = chosen.pop("kind")
    result = KINDS[kind][0](**chosen)
    rows = [*result.rows(), *result.tracer.rows()]
    print(tabulate(rows, headers=[kind, "figure"], tablefmt="simple"))
    return 0 if result.good else 1


KINDS: dict[str, tuple[Callable[..., Counted | Soaked], dict[str, int]]] = {
    "storm": (storm, {"--misses": 1_000_000, "--four-tuples": 1000}),
    "scan": (scan, {"--ports": 100_000}),
    "soak": (soak, {"--duration": 3600}),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
