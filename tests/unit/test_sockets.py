"""Sockets of a dump, from udp_diag's bytes and from /proc's text, must say the same."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.netlink_samples import SOCKETS4, SOCKETS6
from tracer.events import TCP_CLOSE, TCP_ESTABLISHED, SocketView
from tracer.sockets.detail import Memory
from tracer.system import sockets
from tracer.system.netlink import NetlinkError, parse_messages
from tracer.system.sockets import parse_diag, parse_proc, udp_sockets

PROC4 = b"""\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 1240: B087800A:B229 B087800A:DDD5 01 00000000:00000000 00:00000000 00000000     0        0 47697 2
10136: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 47696 2
"""

PROC6 = b"""\
  sl  local_address                         remote_address                        st tx_queue
11783: 00000000000000000000000000000000:1B58 00000000000000000000000000000000:0000 07 \
00000000:00000000 00:00000000 00000000     0        0 47699 2 000000008082c674 0
11785: 00000000000000000000000001000000:1B5A 00000000000000000000000001000000:1B58 01 \
00000000:00000000 00:00000000 00000000     0        0 47701 2 000000004108e2ca 0
11786: 0000000000000000FFFF00000100007F:1B5B 0000000000000000FFFF00000100007F:14E9 01 \
00000000:00000000 00:00000000 00000000     0        0 47702 2 0000000052b6db22 0
11787: 00000000000000000000000000000000:1B5C 00000000000000000000000001000000:0000 07 \
00000000:00000000 00:00000000 00000000     0        0 47703 2 000000007f626c54 0
"""


def _diag(data: bytes) -> dict[int, SocketView]:
    views = [parse_diag(message.body, 7, 8).view for message in parse_messages(data)]
    return {view.lport: view for view in views}


def test_an_unconnected_ipv4_socket() -> None:
    view = _diag(SOCKETS4)[5353]
    assert (view.family, view.state) == ("ipv4", TCP_CLOSE)
    assert (view.local, view.peer, view.pport) == ("127.0.0.1", "0.0.0.0", 0)
    assert (view.device, view.uid, view.sock) == (1, 0, "")
    assert (view.netns, view.netns_cookie) == (7, 8)
    assert (view.local4, view.peer4, view.v6only) == (None, None, None)
    assert view.cookie > 0
    assert view.inode > 0


def test_a_connected_ipv4_socket() -> None:
    view = _diag(SOCKETS4)[45609]
    assert view.state == TCP_ESTABLISHED
    assert (view.local, view.peer, view.pport) == ("10.128.135.176", "10.128.135.176", 56789)


def test_a_dual_stack_wildcard_has_its_ipv4_part() -> None:
    view = _diag(SOCKETS6)[7000]
    assert (view.family, view.local, view.peer) == ("ipv6", "::", "::")
    assert (view.local4, view.peer4, view.v6only) == ("0.0.0.0", "0.0.0.0", False)


def test_v6only() -> None:
    assert _diag(SOCKETS6)[7001].v6only is True


def test_a_native_ipv6_socket_has_no_ipv4_part_that_means_anything() -> None:
    view = _diag(SOCKETS6)[7002]
    assert (view.local, view.peer, view.pport) == ("::1", "::1", 7000)
    assert (view.local4, view.peer4, view.v6only) == (None, None, None)


def test_a_mapped_socket_has_its_ipv4_part() -> None:
    view = _diag(SOCKETS6)[7003]
    assert (view.local, view.peer) == ("::ffff:127.0.0.1", "::ffff:127.0.0.1")
    assert (view.local4, view.peer4) == ("127.0.0.1", "127.0.0.1")


def test_a_disconnect_leaves_the_peers_address_that_ipv6_goes_on_comparing() -> None:
    view = _diag(SOCKETS6)[7004]
    assert (view.state, view.peer, view.pport) == (TCP_CLOSE, "::1", 0)
    assert (view.local4, view.peer4) == ("0.0.0.0", "0.0.0.0")


def test_proc_says_the_same_but_for_what_it_does_not_tell() -> None:
    found = parse_proc(PROC4, socket.AF_INET, 7, 8) + parse_proc(PROC6, socket.AF_INET6, 7, 8)
    assert [detail.view.inode for detail in found] == [47697, 47696, 47699, 47701, 47702, 47703]
    diag = _diag(SOCKETS4) | _diag(SOCKETS6)
    for view in (detail.view for detail in found):
        told = diag[view.lport]
        assert (view.local, view.peer, view.pport) == (told.local, told.peer, told.pport)
        assert (view.local4, view.peer4) == (told.local4, told.peer4)
        assert (view.family, view.state, view.uid) == (told.family, told.state, told.uid)
        assert (view.cookie, view.device, view.v6only) == (0, 0, None)


def test_queues_drops_and_buffers() -> None:
    body = next(parse_messages(SOCKETS4)).body
    told = struct.pack("=HH9I", 40, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    detail = parse_diag(body[:56] + struct.pack("=II", 832, 44) + body[64:72] + told, 7, 8)
    assert (detail.rx, detail.tx, detail.drops) == (832, 44, 9)
    assert detail.memory == Memory(1, 2, 3, 4, 5, 6, 7, 8)
    assert (parse_diag(body, 7, 8).memory, parse_diag(body, 7, 8).drops) == (None, None)
    line = PROC4.splitlines()[1].replace(b"00000000:00000000", b"0000002C:00000340", 1)
    (from_proc,) = parse_proc(b"head\n" + line + b" 0 9\n", socket.AF_INET, 7, 8)
    assert (from_proc.rx, from_proc.tx, from_proc.drops) == (832, 44, 9)
    assert [detail.drops for detail in parse_proc(PROC4, socket.AF_INET, 7, 8)] == [None, None]


def test_proc_lines_without_sense_are_left_out() -> None:
    text = PROC4 + b"\n1: 0100007F:14E9\n2: XX:1 00:0 07 0 0 0 0 0 0 0\n\xff\xfe\n"
    assert len(parse_proc(text, socket.AF_INET, 7, 8)) == 2


@pytest.mark.parametrize("body", [b"", bytes(71), bytes([9]) + bytes(71)])
def test_a_wrong_message_is_an_error(body: bytes) -> None:
    with pytest.raises(NetlinkError):
        parse_diag(body, 7, 8)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_parse_or_fail(data: bytes) -> None:
    with suppress(NetlinkError):
        parse_diag(data, 7, 8)
    parse_proc(b"header\n" + data, socket.AF_INET, 7, 8)
    parse_proc(b"header\n" + data, socket.AF_INET6, 7, 8)


def test_proc_is_the_fallback_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: object) -> list[bytes]:
        raise NetlinkError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(sockets, "dump", absent)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        found = udp_sockets(7, 8)
        port = mine.getsockname()[1]
    assert found.source == "proc"
    assert found.reason == "udp_diag: No such file or directory"
    assert ("127.0.0.1", port) in [(view.local, view.lport) for view in found.sockets]
