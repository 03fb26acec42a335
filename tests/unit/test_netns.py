"""Namespaces and targets, as far as they can be seen without root."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tracer.errors import UsageError
from tracer.system import netns as netns_module
from tracer.system import targets
from tracer.system.netns import (
    Doors,
    Forbidden,
    Netns,
    find_netns,
    initial_inum,
    list_netns,
    netns_inum,
)
from tracer.system.targets import Targets, netns_of_pid, resolve_netns, resolve_targets

OWN = os.stat("/proc/self/ns/net").st_ino
KNOWN = {
    1: Netns(1, "host", "/proc/1/ns/net"),
    22: Netns(22, "web", "/run/netns/web"),
    33: Netns(33, None, "/proc/5/ns/net"),
}


def test_our_own_namespace_is_listed() -> None:
    found = list_netns()[OWN]
    assert found.inum == OWN
    assert netns_inum(found.path) == OWN


def test_a_file_that_is_no_namespace(tmp_path: Path) -> None:
    assert netns_inum(str(tmp_path)) is None
    assert netns_inum("/no/such/file") is None


def test_leftovers_of_ip_netns_are_no_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stale").touch()
    (tmp_path / "web").symlink_to("/proc/self/ns/net")
    monkeypatch.setattr(netns_module, "NAMED_DIRECTORIES", (str(tmp_path), "/no/such"))
    monkeypatch.setattr(netns_module, "initial_inum", lambda known: None)
    assert {n.name for n in list_netns().values() if n.name} == {"web"}
    assert find_netns(OWN, [os.getpid()]) == Netns(OWN, "web", f"/proc/{os.getpid()}/ns/net")


def test_the_fixed_number_of_newer_kernels_means_the_initial_one() -> None:
    assert initial_inum([5, 0xEFFFFFF9]) == 0xEFFFFFF9


def test_a_containers_first_process_says_nothing_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netns_module, "netns_inum", lambda path: 5)
    assert initial_inum([5]) == 5
    monkeypatch.setattr(netns_module, "is_initial", lambda kind: False)
    assert initial_inum([5]) is None


def test_our_own_namespace_needs_no_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns_module, "_setns", lambda fd: pytest.fail("not to be called"))
    assert netns_module.in_netns(list_netns()[OWN], lambda: 7) == 7


def test_a_namespace_that_may_not_be_entered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*arguments: object) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Forbidden):
        netns_module.in_netns(Netns(1, None, "/run/netns/web"), lambda: None)


def test_a_hint_that_has_moved_on_is_not_believed() -> None:
    assert find_netns(12345, [os.getpid()]) is None


@pytest.mark.parametrize(
    ("spec", "inum"), [("host", 1), ("web", 22), ("33", 33), ("/proc/self/ns/net", OWN)]
)
def test_what_a_target_may_be(spec: str, inum: int) -> None:
    assert resolve_netns(spec, KNOWN) == inum


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("wbe", "no network namespace of this name in /run/netns (there are: host, web)"),
        ("44", "no network namespace with this inode number is in use"),
        ("", "no network namespace of this name"),
        ("/no/such", "No such file or directory"),
        ("/proc/self/ns/uts", "not the file of a network namespace"),
        ("/proc/self/comm", "not the file of a network namespace"),
        ("/tmp", "not the file of a network namespace"),
    ],
)
def test_what_no_target_is(spec: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_netns(spec, KNOWN)
    assert why in str(caught.value)
    assert str(caught.value).startswith("-N ")


def test_a_fifo_does_not_make_it_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="not the file"):
        resolve_netns(str(tmp_path / "fifo"), {})


def test_host_where_it_cannot_be_told() -> None:
    with pytest.raises(UsageError, match="run as root"):
        resolve_netns("host", {33: KNOWN[33]})


def test_a_process_as_a_target() -> None:
    assert netns_of_pid(os.getpid()) == OWN
    with pytest.raises(UsageError) as caught:
        netns_of_pid(0x7FFFFFFF)
    assert str(caught.value) == "-p 2147483647: there is no such process"


def test_a_process_whose_namespaces_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 5.10 says so by the number of the link itself, others by an error."""
    stat = os.stat
    link = stat("/proc/self/comm")
    monkeypatch.setattr(
        os, "stat", lambda path, **more: stat(path, **more) if "self" in str(path) else link
    )
    with pytest.raises(UsageError, match="may not be read: run as root"):
        netns_of_pid(1)


def test_all_targets_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "list_netns", lambda: KNOWN)
    assert resolve_targets([], []) == Targets((), ())
    assert resolve_targets(["web", "all"], [os.getpid()]) == Targets((), ())
    pid = os.getpid()
    found = resolve_targets(["web", "22", "/proc/self/ns/net"], [pid])
    assert found == Targets((22, 22, OWN, OWN), ("web", "22", "/proc/self/ns/net", f"pid {pid}"))


def test_a_failure_inside_a_namespace_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns_module, "_setns", lambda fd: None)
    here = Netns(OWN, None, "/proc/self/ns/net")
    with pytest.raises(ZeroDivisionError):
        netns_module.in_netns(here, lambda: 1 // 0)
    name = netns_module.in_netns(here, lambda: threading.current_thread().name)
    assert name == f"netns-{OWN}"


def test_a_reused_process_number_is_noticed() -> None:
    with pytest.raises(FileNotFoundError):
        netns_module.in_netns(Netns(1, None, "/proc/self/ns/net"), lambda: None)


class Machine:
    """Namespaces that come and go, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.lists = 10**12, 0
        self.there = {7: Netns(7, None, "/proc/5/ns/net")}
        self.doors = Doors(lambda: self.now)
        monkeypatch.setattr(netns_module, "list_netns", self.list)
        monkeypatch.setattr(netns_module, "in_netns", self.enter)

    def list(self) -> dict[int, Netns]:
        self.lists += 1
        return dict(self.there)

    def enter(self, netns: Netns, function: Callable[[], str]) -> str:
        if self.there.get(netns.inum) != netns:
            raise FileNotFoundError(netns.path)
        return f"{netns.path} {function()}"


def test_a_way_in_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    for _ in range(3):
        assert machine.doors.enter(7, lambda: "seen") == "/proc/5/ns/net seen"
        machine.now += 10**10
    assert machine.lists == 1


def test_a_way_in_that_is_gone_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.doors.enter(7, str)
    machine.there = {7: Netns(7, "new", "/run/netns/new"), 8: Netns(8, None, "/proc/6/ns/net")}
    machine.now += 10**9
    assert machine.doors.enter(7, str) == "/run/netns/new "
    assert machine.doors.enter(8, str) == "/proc/6/ns/net "
    assert machine.lists == 2


def test_namespaces_that_are_not_there_do_not_cost_a_list_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    for inum in range(100, 200):
        with pytest.raises(LookupError):
            machine.doors.enter(inum, str)
    assert machine.lists == 1


def test_one_that_may_not_be_entered_costs_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.doors.enter(7, str)

    def refuse(netns: Netns, function: Callable[[], str]) -> str:
        raise Forbidden(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(netns_module, "in_netns", refuse)
    for _ in range(3):
        machine.now += 10**10
        with pytest.raises(LookupError):
            machine.doors.enter(7, str)
    assert machine.lists == 1


def test_the_list_of_them_is_a_second_old_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    assert machine.doors.namespaces() == (7,)
    machine.there.clear()
    assert machine.doors.namespaces() == (7,)
    machine.now += 10**9
    assert machine.doors.namespaces() == ()
