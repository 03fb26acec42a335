"""What goes wrong on a real machine: one line that says what and how to mend it, no traceback."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.live import Live, run, wait_for
from tests.kernel.net import Namespace
from tracer.kernel import cache
from tracer.kernel.probes import PROBES

ALL_PROVEN = f"{sum(probe.provable for probe in PROBES)} probes proven"


def one_line(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The failure's single line."""
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("udptrace: ")
    return lines[0]


@pytest.fixture
def sysctl() -> Iterator[object]:
    """Sets a sysctl by its file; everything is set back at the end."""
    saved: dict[Path, str] = {}

    def put(name: str, value: str) -> None:
        path = Path("/proc/sys") / name
        saved.setdefault(path, path.read_text())
        path.write_text(value)

    yield put
    for path, value in saved.items():
        path.write_text(value)


def test_not_root() -> None:
    line = one_line(run("live", user=65534))
    assert "loading the probes needs CAP_BPF, attaching them needs CAP_PERFMON" in line
    assert "sudo udptrace" in line


def test_no_kprobes() -> None:
    hide = "mount -t tmpfs none /sys/bus/event_source/devices && exec udptrace"
    line = one_line(_in_private_mounts(hide))
    assert "CONFIG_KPROBES" in line
    assert "scripts/vm" in line


def test_no_btf() -> None:
    hide = "mount -t tmpfs none /sys/kernel/btf && exec udptrace"
    assert "CONFIG_DEBUG_INFO_BTF" in one_line(_in_private_mounts(hide))


@pytest.mark.parametrize(
    ("limit", "remedy"),
    [("--nofile=64", "ulimit -n 1024"), ("--as=300000000", "ulimit -v unlimited")],
)
def test_a_limit_of_the_process(limit: str, remedy: str) -> None:
    done = subprocess.run(
        ["prlimit", limit, "udptrace", "live"], capture_output=True, text=True, check=False
    )
    assert remedy in one_line(done)


def test_a_symbol_is_absent() -> None:
    """No supported kernel lacks one, so a name is asked for that none has."""
    code = """if True:
        from dataclasses import replace
        from tracer.cli.main import main
        from tracer.kernel import session

        gone = ("no_such_function",)
        session.PROBES = tuple(
            replace(probe, symbols=gone) if probe.name == "icmp" else probe
            for probe in session.PROBES
        )
        main(["live"])
    """
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=False)
    assert "no kernel function no_such_function can be probed" in one_line(done)


def test_lockdown_is_named(tmp_path: Path) -> None:
    """The kernel cannot be locked down for one test, so only its refusal is played here."""
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    code = (
        "from pathlib import Path; from tracer.kernel import features;"
        f"features.LOCKDOWN = Path({str(lockdown)!r}); print(features.why_refused())"
    )
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=True)
    assert "lockdown=integrity" in done.stdout


def test_ftrace_switched_off(sysctl: object) -> None:
    """Probes attach and stay silent: the self-test notices, where the kernel behaves so."""
    assert callable(sysctl)
    try:
        sysctl("kernel/ftrace_enabled", "0")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # 7.3 cannot be switched off
            raise
    done = run("live", "--duration", "0.1")
    if done.returncode == 0:
        assert ALL_PROVEN in done.stderr
    else:
        assert "sysctl kernel.ftrace_enabled=1" in one_line(done)


def test_hidden_symbol_addresses(sysctl: object) -> None:
    """A hardened kernel zeroes the symbol table even for root: all is still proven."""
    assert callable(sysctl)
    sysctl("kernel/kptr_restrict", "2")
    done = run("live", "--duration", "0.1")
    assert done.returncode == 0, done.stderr
    assert ALL_PROVEN in done.stderr


def test_another_bcc_module(tmp_path: Path) -> None:
    """Asked for when there is something to compile."""
    shutil.rmtree(cache.DIRECTORY, ignore_errors=True)
    (tmp_path / "bcc.py").write_text("")
    done = subprocess.run(
        ["python3", "-m", "tracer", "live"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:/src"},
        check=False,
    )
    line = one_line(done)
    assert "python3-bpfcc" in line
    assert "pip uninstall bcc" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-N", "no-such-netns"], "no-such-netns"),
        (["-N", "99"], "99"),
        (["-p", "4999999"], "4999999"),
        (["-w", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], words: str) -> None:
    done = run("live", *arguments)
    assert done.returncode in (1, 2)
    assert words in one_line(done, done.returncode)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds 16 KiB."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(small)], check=True)
    yield small
    subprocess.run(["umount", str(small)], check=True)


@pytest.fixture
def inhabited() -> Iterator[tuple[Namespace, int]]:
    """A namespace with a process in it."""
    with Namespace("inhabited") as namespace:
        inside = ["ip", "netns", "exec", namespace.name]
        process = subprocess.Popen([*inside, "sleep", "infinity"])
        wait_for(
            lambda: os.stat(f"/proc/{process.pid}/ns/net").st_ino == namespace.inum, "the process"
        )
        yield namespace, process.pid
        process.kill()
        process.wait()


def test_a_full_disk_stops_the_recording_and_not_the_trace_of_two_targets(
    small_disk: Path, inhabited: tuple[Namespace, int]
) -> None:
    """One start for all, since each is dear: -N and -p select, the disk fills up, and the one's
    namespace and the other's process end."""
    namespace, pid = inhabited
    with Namespace("target") as target:
        trace = Live(small_disk, "-N", target.name, "-p", str(pid))
        client = target.udp(bind=("127.0.0.1", 6900))
        for port in range(6901, 6999):
            client.sendto(b"fill the disk", ("127.0.0.1", port))
        wait_for(lambda: "No space left" in trace.stderr(), "the full disk")
        with Namespace("other") as other:
            other.udp().sendto(b"of no target", ("127.0.0.1", 6898))
            namespace.udp().sendto(b"of the process's", ("127.0.0.1", 6897))
            client.sendto(b"of the named one", ("127.0.0.1", 6896))
            assert trace.incident(dport=6897)["netns"]["inum"] == namespace.inum
            assert trace.incident(dport=6896)["netns"]["name"] == target.name
            assert trace.incidents(dport=6898) == []
    os.kill(pid, signal.SIGKILL)
    namespace.udp().sendto(b"of what is left", ("127.0.0.1", 6895))
    assert trace.incident(dport=6895)["netns"]["inum"] == namespace.inum
    trace.stop()
    assert trace.process.returncode == 1


def test_kernel_headers_are_not_here() -> None:
    """All tests of this directory run without them, and BCC itself cannot include one."""
    assert not list(Path("/usr/src").glob("linux-headers*"))
    assert not list(Path("/lib/modules").glob("*/build"))
    plain = "from bcc import BPF; BPF(text='#include <net/sock.h>')"
    done = subprocess.run(["python3", "-c", plain], capture_output=True, check=False)
    assert done.returncode != 0


def _in_private_mounts(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
