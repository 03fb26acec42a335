"""Sockets of all sorts, as udp_diag and /proc tell them, against what the sockets say themselves.

The sockets' own getsockname() and SO_COOKIE are the truth here; the two sources must agree on it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

import pytest

from tests.system.conftest import Box
from tracer.events import TCP_CLOSE, TCP_ESTABLISHED, SocketView
from tracer.system import sockets
from tracer.system.netlink import NetlinkError
from tracer.system.netns import in_netns, netns_cookie
from tracer.system.sockets import Dump, read_port, udp_sockets

SO_COOKIE = 57


def _dump(box: Box) -> Dump:
    return in_netns(box.netns, lambda: udp_sockets(box.netns.inum, netns_cookie()))


def _all_sorts(box: Box) -> dict[str, socket.socket]:
    """One socket of each sort, all with a port."""
    any4, any6 = ("0.0.0.0", 0), ("::", 0)
    four = {name: box.socket() for name in ("any", "address", "connected", "device", "autobound")}
    four["any"].bind(any4)
    four["address"].bind(("10.128.135.176", 0))
    four["connected"].bind(any4)
    four["connected"].connect(("10.128.135.176", 9))
    four["device"].setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    four["device"].bind(any4)
    four["autobound"].sendto(b"x", ("127.0.0.1", 9))
    six = {
        name: box.socket(socket.AF_INET6)
        for name in ("dual", "v6only", "native", "mapped", "connected6", "disconnected")
    }
    six["v6only"].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for name in ("dual", "v6only"):
        six[name].bind(any6)
    six["disconnected"].bind(("::", 7004))  # without a port of its own it would lose it
    six["native"].bind(("::1", 0))
    six["mapped"].connect(("::ffff:127.0.0.1", 9))
    six["connected6"].connect(("::1", 9))
    six["disconnected"].connect(("::1", 9))
    _disconnect(six["disconnected"])
    return four | six


def _disconnect(connected: socket.socket) -> None:
    """connect(AF_UNSPEC), which Python's socket does not have."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=H26x", socket.AF_UNSPEC)
    assert libc.connect(connected.fileno(), address, len(address)) == 0


def _inode(of: socket.socket) -> int:
    return os.fstat(of.fileno()).st_ino


def _peer(of: socket.socket) -> tuple[str, int] | None:
    try:
        found: tuple[str, int] = of.getpeername()[:2]
    except OSError:
        return None
    return found


def _check(view: SocketView, truth: socket.socket, box: Box) -> None:
    """What both sources tell of a socket is what it says itself."""
    assert (view.local, view.lport) == truth.getsockname()[:2]
    peer = _peer(truth)
    assert view.state == (TCP_ESTABLISHED if peer else TCP_CLOSE)
    assert view.pport == (peer[1] if peer else 0)
    if peer:
        assert view.peer == peer[0]
    assert view.family == ("ipv4" if truth.family == socket.AF_INET else "ipv6")
    assert (view.netns, view.uid, view.sock) == (box.netns.inum, 0, "")


def test_udp_diag_tells_the_truth(box: Box) -> None:
    made = _all_sorts(box)
    found = _dump(box)
    assert (found.source, found.reason) == ("udp_diag", "")
    views = {view.inode: view for view in found.sockets}
    assert len(views) == len(made)
    for truth in made.values():
        view = views[_inode(truth)]
        _check(view, truth, box)
        (cookie,) = struct.unpack("=Q", truth.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))
        assert view.cookie == cookie
    told = {name: views[_inode(truth)] for name, truth in made.items()}
    assert {name for name, view in told.items() if view.device} == {"device"}
    assert told["device"].device == 1
    assert told["dual"].v6only is False
    assert told["v6only"].v6only is True
    assert (told["mapped"].local4, told["mapped"].peer4) == ("127.0.0.1", "127.0.0.1")
    assert (told["dual"].local4, told["dual"].peer4) == ("0.0.0.0", "0.0.0.0")
    assert (told["native"].local4, told["connected6"].peer4) == (None, None)
    peers = {name: view.peer for name, view in told.items() if view.state == TCP_CLOSE}
    # What a disconnect leaves behind goes on being compared.
    assert peers.pop("disconnected") == "::1"
    assert set(peers.values()) == {"0.0.0.0", "::"}


def test_proc_tells_the_same(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _all_sorts(box)

    def absent(*args: object) -> list[bytes]:
        raise NetlinkError(errno.ENOENT, "No such file or directory")

    by_diag = {view.inode: view for view in _dump(box).sockets}
    monkeypatch.setattr(sockets, "dump", absent)
    found = _dump(box)
    assert found.source == "proc"
    views = {view.inode: view for view in found.sockets}
    assert views.keys() == by_diag.keys()
    for truth in made.values():
        view = views[_inode(truth)]
        _check(view, truth, box)
        told = by_diag[view.inode]
        assert (view.peer, view.local4, view.peer4) == (told.peer, told.local4, told.peer4)
        assert (view.cookie, view.device, view.v6only) == (0, 0, None)


def test_every_line_of_proc_is_a_socket_of_the_dump(box: Box) -> None:
    _all_sorts(box)
    inodes = set()
    for name in ("udp", "udp6"):
        inodes |= {int(line.split()[9]) for line in box.read(name).splitlines()[1:]}
    assert {view.inode for view in _dump(box).sockets} == inodes


def test_a_socket_without_a_port_is_in_no_dump(box: Box) -> None:
    box.socket()
    assert _dump(box).sockets == ()


def test_thousands_of_sockets(box: Box) -> None:
    """More than one netlink message holds, and more than one read returns."""
    made = [box.socket() for _ in range(800)] + [box.socket(socket.AF_INET6) for _ in range(199)]
    for truth in made:
        truth.bind(("127.0.0.1" if truth.family == socket.AF_INET else "::1", 0))
    assert {view.inode for view in _dump(box).sockets} == {_inode(truth) for truth in made}


def test_the_sockets_of_one_port_of_both_families(box: Box) -> None:
    """The kernel selects by the port: a crowd elsewhere is not even read."""
    ours = []
    for number in range(300):
        family = socket.AF_INET6 if number % 3 == 0 else socket.AF_INET
        truth = box.socket(family)
        truth.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        truth.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 7599))
        if number % 2:
            truth.connect((truth.getsockname()[0], 6500 + number))
        ours.append(truth)
    for port in range(7500, 7520):
        box.socket().bind(("127.0.0.1", port))
    found: list[SocketView] = []
    changed = in_netns(box.netns, lambda: read_port(7599, box.netns.inum, 5, found.append))
    assert not changed
    assert sorted(view.inode for view in found) == sorted(map(_inode, ours))
    by_inode = {view.inode: view for view in found}
    for truth in ours:
        _check(by_inode[_inode(truth)], truth, box)
    assert {view.netns_cookie for view in found} == {5}


def test_a_port_nobody_is_on(box: Box) -> None:
    box.socket().bind(("127.0.0.1", 7500))
    found: list[SocketView] = []
    in_netns(box.netns, lambda: read_port(7501, box.netns.inum, 0, found.append))
    assert found == []
