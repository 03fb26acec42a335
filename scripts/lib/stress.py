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


def storm(options: argparse.Namespace) -> bool:
    """Misses over some four-tuples as fast as can be: are all counts exact?"""
    with Namespace("storm") as space, watched() as tracer:
        volley = Volley((LO, 1000 + number) for number in range(options.four_tuples))
        sender = space.udp(bind=(LO, 999))
        began, used = time.monotonic(), tracer.processor()
        sent = 0
        while sent < options.misses:
            sent += volley.send(sender)
            tracer.look()
        took = time.monotonic() - began
        settled(tracer, sent)
        used, over = tracer.processor() - used, time.monotonic() - began
        counts = [incident["count"] for incident in tracer.trace.incidents()]
        exact = counts == [sent // options.four_tuples] * options.four_tuples
        rows = [
            ["sent", f"{sent:,} over {options.four_tuples:,} four-tuples in {took:.0f} s"],
            ["NoPorts", f"{space.counters()['UdpNoPorts']:,}"],
            ["told", f"{sum(counts):,} in {len(counts):,} incidents"],
            ["the tracer's processor time", f"{used:.1f} s of {over:.0f} s until all was told"],
        ]
        show("storm", rows, tracer)
    return exact and sent == sum(counts)


def scan(options: argparse.Namespace) -> bool:
    """As many four-tuples as ports: is all that is not told said to be missing?"""
    with Namespace("scan") as space, watched() as tracer:
        ends = [(f"127.0.{n // 60000}.1", 1000 + n % 60000) for n in range(options.ports)]
        used = tracer.processor()
        sent = Volley(ends).send(space.udp(bind=(LO, 999)))
        settled(tracer, sent)
        used = tracer.processor() - used
        unkept = lost(tracer.trace).get("uncounted", 0)
        told = tracer.counted()
        rows = [
            ["sent", f"{sent:,}, each to another end"],
            ["NoPorts", f"{space.counters()['UdpNoPorts']:,}"],
            ["told", f"{told:,} in {len(tracer.trace.incidents()):,} incidents"],
            ["said to be lost altogether", f"{unkept:,}"],
            ["the tracer's processor time", f"{used:.1f} s"],
        ]
        show("scan", rows, tracer)
    return told + unkept == sent


def settled(tracer: Watched, sent: int) -> None:
    """Wait until nothing more is told: all of it, or all that was not lost."""

    def all_told() -> bool:
        tracer.look()
        return tracer.counted() + lost(tracer.trace).get("uncounted", 0) >= sent

    wait_for(all_told, lambda: f"{sent} misses told; {tracer.counted()} are")
    tracer.look(always=True)


def soak(options: argparse.Namespace) -> bool:
    """Namespaces and processes that come, miss and go: does anything grow, or stay behind?"""
    before = objects()
    with watched() as tracer:
        mine = objects()
        sent = visits = 0
        while time.monotonic() - tracer.began < options.duration:
            sent += visit()
            visits += 1
            tracer.look()
        settled(tracer, sent)
        told = tracer.counted()
        kept = objects() == mine
        middle, last = (middle_of(tracer.seen[half]) for half in halves(len(tracer.seen)))
        rows = [
            ["namespaces and processes", f"{visits:,} in {options.duration} s"],
            ["misses", f"{sent:,} sent, {told:,} told"],
            ["resident memory, MB: third quarter, last quarter", f"{middle:.1f}, {last:.1f}"],
            ["the tracer's processor time", f"{tracer.processor():.1f} s"],
        ]
        show("soak", rows, tracer)
        files = [count for _, _, count in tracer.seen]
    left = objects() != before
    print(f"BPF objects: {'as at the start' if kept else 'others'}, then "
          f"{'some are left' if left else 'all gone'}")  # fmt: skip
    steady = last - middle <= GROWTH_MB and files[-1] <= files[0] + 1
    return told == sent and kept and not left and steady


def halves(samples: int) -> tuple[slice, slice]:
    """The third quarter of a run, and the last."""
    return slice(samples // 2, samples * 3 // 4), slice(samples * 3 // 4, samples)


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


def show(what: str, rows: list[list[str]], tracer: Watched) -> None:
    """Print a table of figures."""
    print(tabulate([*rows, *tracer.rows()], headers=[what, "figure"], tablefmt="simple"))


def main(arguments: list[str]) -> int:
    """Exit status 0 when all is exact and nothing grows."""
    parser = argparse.ArgumentParser(prog="scripts/stress")
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, options in OPTIONS.items():
        sub = kinds.add_parser(kind)
        for name, default in options.items():
            sub.add_argument(name, type=int, default=default)
    chosen = parser.parse_args(arguments)
    return 0 if KINDS[chosen.kind](chosen) else 1


OPTIONS = {
    "storm": {"--misses": 1_000_000, "--four-tuples": 1000},
    "scan": {"--ports": 100_000},
    "soak": {"--duration": 3600},
}
KINDS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "storm": storm,
    "scan": scan,
    "soak": soak,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
