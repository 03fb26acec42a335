"""Owners of sockets from /proc: right names, right starts, and nothing raised."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tracer.events import Holder
from tracer.system import processes
from tracer.system.processes import OwnerFinder, comm_of, holders_in, start_of


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        yield opened


def _inode(of: socket.socket) -> int:
    return os.fstat(of.fileno()).st_ino


def test_a_socket_of_ours(udp: socket.socket) -> None:
    (holder,) = holders_in([os.getpid()], {_inode(udp)})[_inode(udp)]
    assert (holder.pid, holder.fd) == (os.getpid(), udp.fileno())
    assert holder.comm == Path("/proc/self/comm").read_text().rstrip("\n")
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert 0 < holder.start_ns < now


def test_each_descriptor_is_told(udp: socket.socket) -> None:
    with udp.dup() as twin:
        found = holders_in([os.getpid()], {_inode(udp)})[_inode(udp)]
        assert {holder.fd for holder in found} == {udp.fileno(), twin.fileno()}


def test_a_child_s_inherited_socket_is_found_by_the_hint_at_its_parent(udp: socket.socket) -> None:
    udp.set_inheritable(True)
    inode = _inode(udp)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[udp.fileno()]
    ) as child:
        try:
            # No whole scan is due: the hint alone must lead there.
            finder = OwnerFinder()
            finder.scan([])
            by_parent = finder.find([inode], [os.getpid()])
            by_child = finder.find([inode], [child.pid])
        finally:
            child.communicate(b"\n")
    assert {holder.pid for holder in by_child[inode]} == {os.getpid(), child.pid}
    if Path("/proc/self/task/self/children").exists():
        assert by_parent == by_child


def test_a_scan_finds_it_without_a_hint_and_none_for_nobody(udp: socket.socket) -> None:
    found = OwnerFinder().find([_inode(udp), 1])
    assert os.getpid() in [holder.pid for holder in found[_inode(udp)]]
    assert found[1] == ()


def test_scans_are_rare(udp: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = []

    def all_pids() -> list[int]:
        scans.append(1)
        return [os.getpid()]

    monkeypatch.setattr(processes, "all_pids", all_pids)
    now = [0]
    finder = OwnerFinder(lambda: now[0])
    assert finder.find([_inode(udp)])
    assert finder.find([_inode(udp)]) == {}  # ask again later
    assert finder.find([_inode(udp)], [os.getpid()])  # a hint costs no scan
    now[0] += processes.SCAN_NS
    assert finder.find([_inode(udp)])
    assert len(scans) == 2


def test_slow_scans_are_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]

    def slow() -> list[int]:
        now[0] += processes.SCAN_NS
        return []

    monkeypatch.setattr(processes, "all_pids", slow)
    finder = OwnerFinder(lambda: now[0])
    assert finder.find([1]) == {1: ()}
    now[0] += processes.SCAN_SHARE * processes.SCAN_NS - 1
    assert finder.find([1]) == {}
    now[0] += 1
    assert finder.find([1]) == {1: ()}


def test_a_storm_of_hints_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    def holders_in(pids: Iterable[int], inodes: object) -> dict[int, tuple[Holder, ...]]:
        looked_at.extend(pids)
        return {}

    monkeypatch.setattr(processes, "holders_in", holders_in)
    finder = OwnerFinder(lambda: 0)
    finder.find([1])
    looked_at.clear()
    finder.find([1], range(0x7FFF0000, 0x7FFF8000))
    assert 0 < len(looked_at) < 200


def test_a_process_that_is_gone() -> None:
    gone = 0x7FFFFFFF
    assert (comm_of(gone), start_of(gone)) == ("", 0)
    assert holders_in([gone], {1}) == {}
    assert OwnerFinder().find([1], [gone]) == {1: ()}


@pytest.mark.parametrize("name", [b"a) R 1 2 3", b") (", b"x y\tz", b"\xff\xfe", b"new\nline"])
def test_names_that_look_like_fields(name: bytes, udp: socket.socket) -> None:
    code = (
        "import sys\n"
        "open('/proc/self/comm','wb').write(bytes.fromhex(sys.argv[1]))\n"
        "print(flush=True)\n"
        "input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, name.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        told, start = comm_of(child.pid), start_of(child.pid)
        child.communicate(b"\n")
    assert told == name.decode("utf-8", "backslashreplace")
    assert abs(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - start) < 60_000_000_000


def test_a_pid_in_use_again_while_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What held the socket is gone when the name is read: that name is another process's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        inode = _inode(udp)

        def name_of_the_next(pid: int) -> str:
            udp.close()
            return "next"

        monkeypatch.setattr(processes, "comm_of", name_of_the_next)
        assert holders_in([os.getpid()], {inode}) == {}
