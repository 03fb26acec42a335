"""`udptrace sockets` and ss on 100,000 UDP sockets, in a network namespace of its own; needs root.

usage: unshare --net bench_sockets.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

TOP = Path(__file__).resolve().parents[2]
SOCKETS = 100_000
# A process may have so many descriptors even where the limit cannot be raised.
EACH = 10_000

WITH = "udptrace sockets"
WITHOUT = "... without owners"
# What ss -nua shows.
COLUMNS = "state,rx,tx,local,peer"

HOLD = """
import resource, socket, sys
count, network = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
held = []
for number in range(count):
    held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    held[-1].bind((f"127.{network}.0.1", 1024 + number))
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def crowd() -> Iterator[None]:
    """All the sockets, bound, while the block runs."""
    holders = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(EACH), str(network)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for network in range(1, SOCKETS // EACH + 1)
    ]
    try:
        for holder in holders:
            assert holder.stdout is not None
            if not holder.stdout.readline():
                raise SystemExit("bench: the sockets cannot be made: raise `ulimit -Hn`")
        yield
    finally:
        for holder in holders:
            holder.communicate()


def measure(command: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds of a processor, and peak memory in MB of a command."""
    began, used = time.monotonic(), _processor()
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment, cwd=TOP) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: {command[0]} ended with {process.returncode}")
    return time.monotonic() - began, _processor() - used, usage.ru_maxrss / 1000


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Print the table."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    listing = [sys.executable, "-m", "tracer", "sockets", "-p", str(os.getpid())]
    commands = {
        "ss -nua": ["ss", "-nua"],
        "ss -nuap": ["ss", "-nuap"],
        WITHOUT: [*listing, "--columns", COLUMNS],
        WITH: listing,
    }
    with crowd():
        measured = {name: measure(command) for name, command in commands.items()}
    # Of a processor, which other work on the machine lengthens less.
    limits = {WITHOUT: 5 * measured["ss -nua"][1], WITH: measured["ss -nuap"][1]}
    words = {WITHOUT: "5 times ss -nua", WITH: "as ss -nuap"}
    rows = [
        [
            name,
            f"{took:.2f} s",
            f"{used:.2f} s",
            f"{limits[name]:.2f} s ({words[name]})" if name in limits else "",
            f"{peak:.0f} MB",
            "250 MB" if name in limits else "",
        ]
        for name, (took, used, peak) in measured.items()
    ]
    heads = [f"{SOCKETS:,} sockets", "took", "of a processor", "target", "peak memory", "target"]
    print(tabulate(rows, headers=heads, tablefmt="simple"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
