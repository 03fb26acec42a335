"""What happens to a tracer on a bad day: nothing is lost silently, and nothing of it stays behind.

One trace beside the shared one stands all of it, since a start is dear, and is killed at the end.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from stress import visit

from tests.kernel.bpf_objects import Objects, objects
from tests.kernel.live import DEADLINE_S, Json, Live, run, wait_for
from tests.kernel.net import Namespace
from tracer.events import Clock
from tracer.recording.reader import Reader

LO = "127.0.0.1"

STEP_S = 3 * 3600

# A process that makes a socket, misses with it, and is gone.
SHORT_LIVED = """
import os, socket
for number in range(101):
    if os.fork() == 0:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 6810))
        sock.sendto(b"refused", ("127.0.0.1", 8210))
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def before(live: Live) -> Objects:
    """What BPF has in the kernel while only the shared trace runs."""
    return objects()


@pytest.fixture(scope="module")
def second(before: Objects, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A second trace of the whole machine."""
    trace = Live(tmp_path_factory.mktemp("second"))
    yield trace
    trace.stop(signal.SIGKILL)


def goes_on(trace: Live, box: Namespace, port: int) -> Json:
    """The incident of a new miss, told by a trace that lives and has had no error."""
    box.udp(bind=(LO, port - 1000)).sendto(b"refused", (LO, port))
    incident = trace.incident(dport=port)
    assert (incident["cause"], incident["count"]) == ("no-socket", 1)
    assert "Traceback" not in trace.stderr()
    assert "internal error" not in trace.stderr()
    return incident


def test_two_at_once_see_the_same(live: Live, second: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 8201), connect=(LO, 6801))
    sender = box.udp(bind=(LO, 6802))
    for _ in range(17):
        sender.sendto(b"refused", (LO, 8201))
    for trace in (live, second):
        incident = trace.incident(dport=8201, count=17)
        assert (incident["cause"], incident["count"]) == ("remote-port", 17)
        assert incident["socket"]["inode"] == os.fstat(server.fileno()).st_ino
        assert incident["lookup"]["passes"] == 2


@contextmanager
def _bpftrace(directory: Path, program: str) -> Iterator[None]:
    """Another tool, its probes attached; its output is in the directory."""
    path = directory / "bpftrace"
    with path.open("wb") as output:
        begun = 'BEGIN { printf("attached\\n"); }'
        tool = subprocess.Popen(["bpftrace", "-e", f"{begun} {program}"], stdout=output)
    wait_for(lambda: "attached" in path.read_text() or tool.poll() is not None, "bpftrace")
    yield
    tool.send_signal(signal.SIGINT)
    tool.wait(DEADLINE_S)


def test_another_tool_on_the_same_probes(second: Live, box: Namespace, tmp_path: Path) -> None:
    """Its kretprobes put a trampoline where the caller is read: that is not known then."""
    tool = "kprobe:__icmp_send { @sent = count(); } kretprobe:__icmp_send { @done = count(); }"
    with _bpftrace(tmp_path, f"{tool} kretprobe:udp4_lib_lookup2* {{ @looked = count(); }}"):
        sender = box.udp(bind=(LO, 6803))
        for _ in range(13):
            sender.sendto(b"refused", (LO, 8203))
        incident = second.incident(dport=8203, count=13)
    assert (incident["cause"], incident["count"]) == ("no-socket", 13)
    assert incident["certain"] is True, incident["caveats"]
    assert incident["lookup"]["passes"] == 2
    counted = dict(
        line.removeprefix("@").split(": ")
        for line in (tmp_path / "bpftrace").read_text().splitlines()
        if line.startswith("@")
    )
    assert int(counted["sent"]) >= 13


def test_a_namespace_is_deleted_under_it(second: Live, box: Namespace) -> None:
    """What it refused is told with its name all the same; the next has no part in it."""
    with Namespace("gone") as gone:
        gone.udp(bind=(LO, 8204), connect=(LO, 6999))
        gone.udp(bind=(LO, 6804)).sendto(b"refused", (LO, 8204))
    incident = second.incident(dport=8204)
    assert incident["cause"] == "remote-port"
    assert incident["netns"]["inum"] == gone.inum
    goes_on(second, box, 8205)


def test_a_process_is_killed_under_it(second: Live, box: Namespace) -> None:
    """By whom its socket was closed is known, though nobody called close()."""
    code = (
        "import socket; s = socket.socket(2, 2); s.bind(('127.0.0.1', 8206)); print(flush=True);"
        " s.recv(9)"
    )
    server = box.inside(lambda: subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE))
    assert server.stdout is not None
    server.stdout.readline()
    server.kill()
    server.wait()
    server.stdout.close()
    box.udp(bind=(LO, 6806)).sendto(b"refused", (LO, 8206))
    incident = second.incident(dport=8206)
    assert incident["cause"] == "closed"
    assert incident["socket"]["closed"]["by"]["pid"] == server.pid


def test_processes_are_gone_before_they_can_be_looked_up(second: Live, box: Namespace) -> None:
    """Each has the same ends; each call tells who it was, and /proc need not."""
    box.run("python3", "-c", SHORT_LIVED)
    incident = second.incident(dport=8210, count=101)
    assert incident["count"] == 101
    assert incident["origin"] is None or incident["origin"]["closed"] is not None
    goes_on(second, box, 8211)


@contextmanager
def _no_more_files(process: int) -> Iterator[None]:
    """It can open none but those that it has."""
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    taken = set(map(int, os.listdir(f"/proc/{process}/fd")))
    free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (free, before[1]))
    yield
    resource.prlimit(process, resource.RLIMIT_NOFILE, before)


def test_its_files_run_out(second: Live, box: Namespace) -> None:
    """What it cannot look up then is not known, and it says so; afterwards all is as before."""
    assert "Too many open files" not in second.stderr()
    with _no_more_files(second.process.pid), Namespace("poor") as poor:
        poor.udp(bind=(LO, 7216)).sendto(b"refused", (LO, 8216))
        incident = second.incident(dport=8216)
        assert incident["cause"] == "no-socket"
        # Before Linux 5.12, without cookies, it has the name of the number's earlier namespace.
        assert incident["netns"]["name"] != poor.name
        wait_for(lambda: "Too many open files: names, owners" in second.stderr(), second.stderr)
    assert goes_on(second, box, 8217)["netns"]["name"] == box.name


@contextmanager
def _clock_set(seconds: int) -> Iterator[None]:
    began, wall = time.monotonic(), time.time()
    time.clock_settime(time.CLOCK_REALTIME, wall + seconds)
    try:
        yield
    finally:
        time.clock_settime(time.CLOCK_REALTIME, wall + time.monotonic() - began)


def test_the_clock_is_set(second: Live, box: Namespace) -> None:
    """Times are by the clock as it was at the miss; what is told in order stays in order."""
    first = goes_on(second, box, 8212)
    with _clock_set(STEP_S):
        wait_for(lambda: _steps(second) == 1, "the step forward")
        later = goes_on(second, box, 8213)
    wait_for(lambda: _steps(second) == 2, "the step back")
    last = goes_on(second, box, 8214)
    assert first["mono_ns"] < later["mono_ns"] < last["mono_ns"]
    assert first["time"] < last["time"] < later["time"]
    elapsed = (later["mono_ns"] - first["mono_ns"]) / 1e9
    assert abs(_seconds(later["time"]) - _seconds(first["time"]) - elapsed - STEP_S) < 60


def _steps(trace: Live) -> int:
    """How often the recording says that the time of day was set."""
    with Reader(str(trace.recording)) as reader:
        header = reader.header
        offsets = [header.realtime_ns - header.time]
        offsets += [event.realtime_ns - event.time for event in reader if isinstance(event, Clock)]
    return sum(abs(b - a) > 60e9 for a, b in pairwise(offsets))


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time as it is printed, to the microsecond."""
    return datetime.fromisoformat(text[:26] + "+00:00").timestamp()


def test_coming_and_going_leaves_nothing_open(second: Live) -> None:
    """Seventeen namespaces and processes: no file stays open, and nothing is added in the kernel.

    An hour of it, with its memory, is what scripts/stress soak makes.
    """

    def told() -> int:
        return sum(incident["count"] for incident in second.incidents())

    def files() -> int:
        return len(os.listdir(f"/proc/{second.process.pid}/fd"))

    goal, kept, open_before = told(), objects(), files()
    for _ in range(17):
        goal += visit()
    wait_for(lambda: told() >= goal, lambda: f"{goal} misses told: {told()}")
    assert told() == goal
    wait_for(lambda: files() <= open_before, lambda: f"{open_before} open files: {files()}")
    assert objects() == kept


def test_killed_it_leaves_nothing_behind(
    live: Live, before: Objects, second: Live, box: Namespace
) -> None:
    """No program, map or kprobe, nothing pinned; its recording says that it has no end; and the
    other trace goes on."""
    assert objects().programs > before.programs
    # What a trace that has just begun has seen is written within a second.
    wait_for(lambda: any(part.stat().st_size for part in second.parts()), "a recording begun")
    second.stop(signal.SIGKILL)
    wait_for(lambda: objects() == before, lambda: f"{before}: {objects()}")
    goes_on(live, box, 8215)
    replayed = run("replay", str(second.recording))
    assert replayed.returncode == 0
    assert "there is no end record" in " ".join(replayed.stderr.split()), replayed.stderr
