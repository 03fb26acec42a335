"""The tracers that are compared: how each is run, and when it traces."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.in_guest.traffic import send_one

PATIENCE_S = 600
"""Guest seconds that a start may take."""

LOOK_S = 0.01
"""Between two looks whether it traces, which take their part of the one processor there is."""

BPFTRACE = (
    "kprobe:udp4_lib_lookup2 { @at[cpu] = arg3; } "
    "kretprobe:udp4_lib_lookup2 { @hit[cpu] = retval != 0; } "
    'kprobe:__icmp_send { printf("miss %d\\n", @hit[cpu]); }'
)
"""By hand what the probes of udptrace see: each lookup with its result, and each ICMP."""


@dataclass(frozen=True)
class Tracer:
    """A command that traces until it is interrupted.

    ``says``: what it prints once it traces; None for udptrace, which makes its ready file.
    ``shows_a_miss``: it prints that about a datagram that misses, which is sent meanwhile.
    """

    name: str
    command: tuple[str, ...]
    says: str | None = None
    shows_a_miss: bool = False


@dataclass
class Running:
    """A tracer that traces: the nanoseconds its start took, and, once it has ended, the kilobytes
    that it or a process of its own had at most."""

    pid: int
    started_ns: int
    peak_kb: int = 0


@contextmanager
def running(tracer: Tracer) -> Iterator[Running]:
    """The tracer, from when it traces to the end of the block."""
    with tempfile.TemporaryDirectory() as directory:
        output, ready = Path(directory, "output"), Path(directory, "ready")
        command = [word.replace("READY", str(ready)) for word in tracer.command]
        with output.open("wb") as printed:
            began = time.monotonic_ns()
            process = subprocess.Popen(command, stdout=printed, stderr=printed)
        started = Running(process.pid, 0)
        try:
            _wait_for(tracer, process, ready, output)
            started.started_ns = time.monotonic_ns() - began
            yield started
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                started.peak_kb = usage.ru_maxrss


def _wait_for(tracer: Tracer, process: subprocess.Popen[bytes], ready: Path, output: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not _is_ready(tracer, ready, output):
        if process.poll() is not None or time.monotonic() > deadline:
            printed = output.read_text(errors="replace").strip()
            raise SystemExit(f"bench: {tracer.name} did not start: {printed[-500:]}")
        time.sleep(LOOK_S)


def _is_ready(tracer: Tracer, ready: Path, output: Path) -> bool:
    if tracer.says is None:
        return ready.exists()
    if tracer.shows_a_miss:
        send_one()
    return tracer.says in output.read_text(errors="replace")


def udptrace(name: str, *options: str) -> Tracer:
    """`udptrace live` with these options."""
    return Tracer(name, ("udptrace", "live", "-f", "json", "--ready-file", "READY", *options))


def bpfcc(tool: str, head: str) -> Tracer:
    """A tool of bpfcc-tools, which prints the head of its table when it traces."""
    return Tracer(tool, ("python3", "-u", f"/usr/sbin/{tool}-bpfcc"), head)


DEFAULT = udptrace("udptrace")
WITHOUT_LOOKUPS = udptrace("udptrace --lookups off", "--lookups", "off")
ELSEWHERE = udptrace("udptrace, another netns's", "-N", "elsewhere")
TCPDUMP = Tracer(
    "tcpdump -w",
    ("tcpdump", "-i", "any", "-w", "/tmp/bench.pcap", "udp or icmp"),
    "listening on",
)
BPFTRACE_SCRIPT = Tracer("bpftrace", ("bpftrace", "-e", BPFTRACE), "miss", shows_a_miss=True)
PWRU = Tracer("pwru", ("pwru", "udp"), "__icmp_send", shows_a_miss=True)
TCPDROP = bpfcc("tcpdrop", "SADDR")
TCPCONNECT = bpfcc("tcpconnect", "DPORT")
