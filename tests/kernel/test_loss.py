"""What a trace that is stopped for a minute could not take is counted in the kernel, exactly, shown
and recorded; and meanwhile who reads another trace goes away.

Before the shared trace begins, which would lose its part of the burst as well.
"""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.kernel.bpf_objects import objects
from tests.kernel.live import DEADLINE_S, SETTLE, Live, lost, run, wait_for
from tests.kernel.net import Namespace
from tracer.events import Call, Close, End
from tracer.recording.joined import Joined
from tracer.recording.reader import Reader
from tracer.system.netns import Netns, in_netns

LO = "127.0.0.1"

STOPPED_S = 60.0

# More records than a megabyte holds while nobody reads: a prime number of them.
BINDS = 6007

# Missed again and again all the while; missed for the first time when there is no room any more.
EARLY, LATE = range(7201, 7204), range(7301, 7308)


class Misses:
    """Datagrams to the early ports, sent by a thread until the end of the context."""

    def __init__(self, namespace: Namespace) -> None:
        self.sent: Counter[int] = Counter()
        self._socket = namespace.udp()
        self._enough = Event()
        self._thread = Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        while not self._enough.wait(0.05):
            for port in EARLY:
                self._socket.sendto(b"refused", (LO, port))
                self.sent[port] += 1

    def end(self) -> None:
        """Send no more."""
        self._enough.set()
        self._thread.join()


class Stopped:
    """A trace that nothing was lost of until it is stopped (SIGSTOP), and what misses meanwhile."""

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        self.namespace = namespace
        # Rotated, which must neither lose nor double one of the records.
        self.trace = Live(directory, "--max-size", "256K")
        self.misses = Misses(namespace)
        for port in EARLY:
            assert self.trace.incident(dport=port)["certain"] is True
        assert lost(self.trace) == {}
        self.trace.process.send_signal(signal.SIGSTOP)
        self._until = time.monotonic() + STOPPED_S

    def wait(self) -> None:
        """Until the time is over."""
        time.sleep(max(0.0, self._until - time.monotonic()))

    def go_on(self) -> None:
        """Let it run again."""
        self.trace.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """The tests before the last one make use of the time."""
    with Namespace("stopped") as namespace:
        stopped = Stopped(tmp_path_factory.mktemp("stopped"), namespace)
        yield stopped
        stopped.misses.end()
        stopped.go_on()
        stopped.trace.stop()


class Headed:
    """`udptrace -f FORM -w recording | head -1`."""

    def __init__(self, directory: Path, form: str) -> None:
        directory.mkdir()
        self.form = form
        self.recording, self.ready = directory / "recording", directory / "ready"
        self._errors = directory / "stderr"
        with self._errors.open("wb") as errors:
            self.trace = subprocess.Popen(
                ["udptrace", "-f", form, "-w", str(self.recording), "--settle", SETTLE,
                 "--ready-file", str(self.ready)],
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        self._head = subprocess.Popen(
            ["head", "-1"], stdin=self.trace.stdout, stdout=subprocess.PIPE, text=True
        )
        assert self.trace.stdout is not None
        self.trace.stdout.close()

    def read(self) -> str:
        """What head printed; it has ended."""
        return self._head.communicate()[0]

    def stderr(self) -> str:
        """What the trace printed there."""
        return self._errors.read_text()


def test_a_reader_that_has_enough_ends_it(stopped: Stopped, box: Namespace, tmp_path: Path) -> None:
    """It ends well, with its last words, and its recording is whole."""
    traces = [Headed(tmp_path / form, form) for form in ("text", "json")]
    for each in traces:
        wait_for(lambda: each.ready.exists() or each.trace.poll() is not None, "the ready file")  # noqa: B023
        assert each.trace.poll() is None, each.stderr()
    sender, ports = box.udp(bind=(LO, 6211)), count(7401)

    def both_ended() -> bool:
        sender.sendto(b"refused", (LO, next(ports)))
        return all(each.trace.poll() is not None for each in traces)

    wait_for(both_ended, "the end of both")
    for each in traces:
        assert each.trace.returncode == 0
        replayed = run("replay", "-f", each.form, str(each.recording))
        assert replayed.returncode == 0
        assert replayed.stdout.startswith(each.read())
        assert replayed.stdout.count("\n") > 1
        # The last words, of the same misses, and nothing of a pipe.
        assert each.stderr() == replayed.stderr
        with Reader(str(each.recording)) as reader:
            *_, last = reader
            assert reader.problems() == []
        assert isinstance(last, End)
        assert last.reason == "output closed"


def test_its_terminal_goes_away(stopped: Stopped, tmp_path: Path) -> None:
    """It ends as by Ctrl-C, with nowhere to say so, though there is something to show."""
    before = objects()
    ready, recording = tmp_path / "ready", tmp_path / "recording"
    master, slave = pty.openpty()
    trace = subprocess.Popen(
        ["setsid", "--ctty", "udptrace", "-w", str(recording), "--settle", SETTLE,
         "--ready-file", str(ready)],
        stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    wait_for(lambda: ready.exists() or trace.poll() is not None, "the ready file")
    os.close(master)
    assert trace.wait(DEADLINE_S) == 0
    with Reader(str(recording)) as reader:
        *_, last = reader
    assert isinstance(last, End)
    # By the signal, or by what could not be written just before it came.
    assert last.reason in ("terminated", "output closed")
    wait_for(lambda: objects() == before, lambda: f"{before}: {objects()}")


def test_losses_are_counted_exactly(stopped: Stopped, box: Namespace) -> None:
    """Of a minute: each miss is counted; of what was lost it is said how much, and of what."""
    trace, namespace, sent = stopped.trace, stopped.namespace, stopped.misses.sent
    sender = namespace.udp()
    stopped.wait()
    # By this it has a port of its own, while there is room for a record of that.
    sender.sendto(b"refused", (LO, 7300))
    sent[7300] += 1
    _bind_and_close(namespace)
    for _ in range(101):
        for port in LATE:
            sender.sendto(b"refused", (LO, port))
            sent[port] += 1
    stopped.go_on()
    for port in LATE:
        incident = trace.incident(dport=port, count=sent[port])
        assert (incident["cause"], incident["count"]) == ("no-socket", sent[port])
        assert any("lost" in caveat for caveat in incident["caveats"])
    # Only now is there room again for certain: what comes earlier may be lost too.
    box.udp().sendto(b"afterwards", (LO, 7399))
    assert trace.incident(dport=7399)["cause"] == "no-socket"
    stopped.misses.end()
    for port in (*EARLY, 7300):
        assert trace.incident(dport=port, count=sent[port])["count"] == sent[port]
    assert namespace.counters()["UdpNoPorts"] == sent.total()
    trace.stop()
    gone = lost(trace)
    kept = _kept(trace.parts(), namespace.inum)
    assert len(trace.parts()) > 1
    assert kept["bind"] + gone["call"] == BINDS
    assert kept["close"] + gone["close"] >= BINDS
    assert gone["call"] > 0
    assert gone["miss"] > 0
    summary = " ".join(trace.stderr().split())
    assert f"lost: {gone['call']} connect" in summary


def _bind_and_close(namespace: Namespace) -> None:
    def work() -> None:
        for _ in range(BINDS):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((LO, 0))

    in_netns(Netns(namespace.inum, namespace.name, f"/run/netns/{namespace.name}"), work)


def _kept(parts: list[Path], netns: int) -> dict[str, int]:
    """The records of binds and closes in a namespace that the recording holds."""
    kept = {"bind": 0, "close": 0}
    with Joined(tuple(map(str, parts))) as recording:
        for event in recording:
            if isinstance(event, Call) and event.op == "bind":
                kept["bind"] += event.after.netns == netns
            elif isinstance(event, Close):
                kept["close"] += event.socket.netns == netns
    return kept
