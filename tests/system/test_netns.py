"""Namespaces: found however they are held, entered without a trace, gone at any moment."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.system.conftest import Box, ip
from tracer.errors import UsageError
from tracer.events import NetnsInfo, Owners, SocketSeen
from tracer.system import netns as netns_module
from tracer.system.door import look
from tracer.system.machine import ThisMachine
from tracer.system.netns import in_netns, list_netns, netns_cookie
from tracer.system.processes import OwnerFinder
from tracer.system.snapshot import netns_info, take_snapshot
from tracer.system.targets import resolve_targets

SO_NETNS_COOKIE = 71


def _own() -> int:
    return os.stat("/proc/self/ns/net").st_ino


@pytest.fixture
def unnamed() -> Iterator[subprocess.Popen[str]]:
    """A process in a namespace that only it holds, with a socket on port 5353."""
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('127.0.0.1', 5353)); print(flush=True); input()"
    )
    command = ["unshare", "--net", "python3", "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate("\n")


def test_a_named_namespace(box: Box) -> None:
    found = list_netns()
    assert found[box.netns.inum] == box.netns
    assert found[_own()].inum == _own()


def test_an_unnamed_namespace_is_found_through_its_process(
    unnamed: subprocess.Popen[str],
) -> None:
    inum = os.stat(f"/proc/{unnamed.pid}/ns/net").st_ino
    found = list_netns()[inum]
    assert (found.inum, found.name) == (inum, None)


def test_a_mount_elsewhere_is_found_and_has_no_name(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docker's: a bind mount in a directory of its own."""
    mount = tmp_path / "1-abcdef"
    mount.touch()
    subprocess.run(["mount", "--bind", box.path, mount], check=True)
    try:
        monkeypatch.setattr(netns_module, "NAMED_DIRECTORIES", ())
        monkeypatch.setattr(netns_module, "OTHER_DIRECTORIES", (str(tmp_path),))
        found = list_netns()[box.netns.inum]
        assert (found.name, found.path) == (None, str(mount))
        assert in_netns(found, _own_of_thread) == box.netns.inum
    finally:
        subprocess.run(["umount", mount], check=True)


def _own_of_thread() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_only_the_thread_enters(box: Box) -> None:
    before = os.listdir("/proc/self/fd")
    assert in_netns(box.netns, _own_of_thread) == box.netns.inum
    assert in_netns(box.netns, lambda: threading.get_ident()) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        in_netns(box.netns, lambda: 1 // 0)
    assert _own_of_thread() == _own()
    assert os.listdir("/proc/self/fd") == before


def test_the_cookie_is_the_kernel_s(box: Box) -> None:
    sock = box.socket()
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
    except OSError:  # before Linux 5.14
        assert in_netns(box.netns, netns_cookie) == 0
        return
    assert in_netns(box.netns, netns_cookie) == struct.unpack("=Q", raw)[0]
    assert in_netns(box.netns, netns_cookie) != netns_cookie()


def test_addresses_and_links_are_those_of_ip(box: Box) -> None:
    box.ip("link", "add", "left", "type", "veth", "peer", "name", "right")
    box.ip("link", "set", "left", "up")
    box.ip("link", "set", "right", "up")
    box.ip("address", "add", "10.9.0.1", "peer", "10.9.0.2", "dev", "left")
    box.ip("address", "add", "fd00::5/64", "dev", "right", "nodad")
    info = look(box.netns, partial(netns_info, box.netns))
    told = json.loads(box.ip("-j", "address"))
    addresses = {a["local"] for link in told for a in link["addr_info"] if "local" in a}
    assert {"10.9.0.1", "fd00::5", "10.128.135.176", "127.0.0.1", "::1"} <= addresses
    assert set(info.addresses) == addresses
    assert set(info.links) == {(link["ifindex"], link["ifname"]) for link in told}
    assert (info.inum, info.name) == (box.netns.inum, box.name)


def test_targets(box: Box, unnamed: subprocess.Popen[str]) -> None:
    inum = box.netns.inum
    specs = [box.name, box.path, str(inum)]
    found = resolve_targets(specs, [unnamed.pid])
    assert found.inums == (inum, inum, inum, os.stat(f"/proc/{unnamed.pid}/ns/net").st_ino)
    assert found.names == (*specs, f"pid {unnamed.pid}")
    with pytest.raises(UsageError) as caught:
        resolve_targets([f"{box.name}x"], [])
    assert box.name in str(caught.value)  # the ones there are, for who mistyped


def test_the_snapshot_has_everything(box: Box, unnamed: subprocess.Popen[str]) -> None:
    mine = box.socket()
    mine.bind(("127.0.0.1", 53))
    taken = take_snapshot(OwnerFinder())
    infos = {e.inum: e for e in taken.events if isinstance(e, NetnsInfo)}
    seen = {e.socket.inode: e for e in taken.events if isinstance(e, SocketSeen)}
    owners = {e.inode: e for e in taken.events if isinstance(e, Owners)}
    assert infos[box.netns.inum].name == box.name
    view = seen[os.fstat(mine.fileno()).st_ino].socket
    assert (view.netns, view.local, view.lport) == (box.netns.inum, "127.0.0.1", 53)
    assert view.netns_cookie == infos[box.netns.inum].cookie
    assert [h.pid for h in owners[view.inode].holders] == [os.getpid()]
    theirs = os.stat(f"/proc/{unnamed.pid}/ns/net").st_ino
    (other,) = (e.socket for e in seen.values() if e.socket.netns == theirs)
    assert other.lport == 5353
    (holder,) = owners[other.inode].holders
    assert (holder.pid, holder.comm) == (unnamed.pid, "python3")
    assert owners.keys() == seen.keys() - {0}


def test_look_ups_of_one_namespace(box: Box) -> None:
    machine = ThisMachine()
    info = machine.netns(box.netns.inum, [os.getpid()])
    assert info is not None
    assert info.name == box.name
    assert machine.netns(1, []) is None


def test_namespaces_that_come_and_go_do_no_harm(box: Box) -> None:
    ending = threading.Event()
    failures: list[BaseException] = []

    def churn() -> None:
        try:
            while not ending.is_set():
                name = f"udptrace-test-{uuid.uuid4().hex[:8]}"
                ip("netns", "add", name)
                ip("netns", "delete", name)
        except BaseException as error:
            failures.append(error)

    churner = threading.Thread(target=churn)
    churner.start()
    try:
        for _ in range(30):
            taken = take_snapshot(OwnerFinder())
            assert taken.problems == []
            assert box.netns.inum in {e.inum for e in taken.events if isinstance(e, NetnsInfo)}
    finally:
        ending.set()
        churner.join()
    assert failures == []
