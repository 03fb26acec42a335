"""ctnetlink's answers, as a kernel sent them and as it never would; and who is asked at all."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import DATAGRAM
from tracer.events import FourTuple
from tracer.system import conntrack, netns, tracking
from tracer.system.conntrack import Entry, find_entry, parse_entry, request
from tracer.system.netlink import NetlinkError
from tracer.system.netns import Doors
from tracer.system.tracking import Tracking

# Bytes that a 6.12 kernel sent: 10.60.1.1:7300 translated to 10.60.2.2:53, for IPv6 alike.
DNAT4 = bytes.fromhex(
    "020000003400018014000180080001000a3c0102080002000a3c01011c000280050001001100000006000200189c"
    "0000060003001c8400003400028014000180080001000a3c0202080002000a3c01021c0002800500010011000000"
    "060002000035000006000300189c000008000300000001a8080008000000000008000c00d1174c9908000b000000"
    "0002080007000000001b"
)
DNAT6 = bytes.fromhex(
    "0a0000004c0001802c00018014000300fd60000100000000000000000000000214000400fd600001000000000000"
    "0000000000011c000280050001001100000006000200189c0000060003001c8400004c0002802c00018014000300"
    "fd60000200000000000000000000000214000400fd6000010000000000000000000000021c000280050001001100"
    "0000060002000035000006000300189c000008000300000001a8080008000000000008000c00b3072ee908000b00"
    "00000002080007000000001b"
)

CLIENT4, CLIENT6 = ("10.60.1.2", 6300), ("fd60:1::2", 6300)
ASKED4 = FourTuple(*CLIENT4, "10.60.1.1", 7300)
ASKED6 = FourTuple(*CLIENT6, "fd60:1::1", 7300)
SERVED4 = FourTuple("10.60.2.2", 53, *CLIENT4)
SERVED6 = FourTuple("fd60:2::2", 53, *CLIENT6)


def inverse(ends: FourTuple) -> FourTuple:
    return FourTuple(ends.dst, ends.dport, ends.src, ends.sport)


def test_the_way_there_came_out_of_the_original_tuple() -> None:
    assert parse_entry(DNAT4, "ipv4", SERVED4) == Entry(ASKED4, "original", 0x1A8, 27)
    assert parse_entry(DNAT6, "ipv6", SERVED6) == Entry(ASKED6, "original", 0x1A8, 27)


def test_the_way_back_came_out_of_the_reply_tuple() -> None:
    assert parse_entry(DNAT4, "ipv4", ASKED4) == Entry(SERVED4, "reply", 0x1A8, 27)
    assert parse_entry(DNAT6, "ipv6", ASKED6) == Entry(SERVED6, "reply", 0x1A8, 27)


def test_an_entry_that_was_not_asked_for_is_not_believed() -> None:
    for lie in (inverse(ASKED4), FourTuple(*CLIENT4, "10.60.1.1", 7301)):
        with pytest.raises(NetlinkError, match="not asked for"):
            parse_entry(DNAT4, "ipv4", lie)


def test_state_that_is_not_told() -> None:
    tuples_only = DNAT4[: 4 + 2 * 0x34]
    assert parse_entry(tuples_only, "ipv4", SERVED4) == Entry(ASKED4, "original", None, None)
    short_status = tuples_only + struct.pack("=HH2s2x", 6, 3, b"\1\2")
    assert parse_entry(short_status, "ipv4", SERVED4).status is None


@pytest.mark.parametrize("size", [*range(4 + 2 * 0x34)])
def test_an_answer_cut_off_is_an_error(size: int) -> None:
    with pytest.raises(NetlinkError):
        parse_entry(DNAT4[:size], "ipv4", SERVED4)


def test_an_answer_of_the_other_family_is_an_error() -> None:
    with pytest.raises(NetlinkError, match="wrong length"):
        parse_entry(DNAT6, "ipv4", SERVED4)


@given(st.binary(max_size=200))
def test_no_answer_does_anything_but_parse_or_fail(body: bytes) -> None:
    with suppress(NetlinkError):
        parse_entry(body, "ipv6", SERVED6)


def test_the_request_has_the_tuple_in_the_kernels_order() -> None:
    """nfgenmsg, then CTA_TUPLE_ORIG as the kernel itself writes that tuple."""
    assert request("ipv4", ASKED4) == DNAT4[: 4 + 0x34]
    assert request("ipv6", ASKED6) == DNAT6[: 4 + 0x4C]


def test_a_datagram_is_asked_for_by_its_inverse(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, bytes]] = []

    def get(*question: Any) -> bytes | None:
        asked.append(question)
        return DNAT4 if len(asked) == 1 else None

    monkeypatch.setattr(conntrack, "get", get)
    assert find_entry("ipv4", inverse(SERVED4)) == Entry(ASKED4, "original", 0x1A8, 27)
    assert find_entry("ipv4", inverse(SERVED4)) is None
    assert asked == [(12, 0x101, request("ipv4", SERVED4))] * 2


def test_where_nothing_is_tracked_no_netlink_socket_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would load the module."""
    monkeypatch.setattr(conntrack, "_MODULE", "/no/such/module")
    monkeypatch.setattr(socket, "socket", None)
    assert not Tracking(Doors()).is_tracking()
    monkeypatch.setattr(conntrack, "_MODULE", "/sys")
    assert Tracking(Doors()).is_tracking()


# Every namespace of the machine


class OpenDoors(Doors):
    """One namespace, which is entered by calling the function."""

    def enter(self, inum: int, function: Callable[[], Any]) -> Any:
        if inum != 7:
            raise LookupError(inum)
        return function()


def test_an_entry_becomes_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    before = FourTuple("192.0.2.7", 5, "192.0.2.1", 80)
    monkeypatch.setattr(
        tracking, "find_entry", lambda family, ends: Entry(before, "original", 8, 30)
    )
    monkeypatch.setattr(tracking, "netns_cookie", lambda: 99)
    event = Tracking(OpenDoors()).translation(7, DATAGRAM, 5)
    assert event is not None
    assert (event.netns, event.netns_cookie, event.receiver) == (7, 99, 5)
    assert event.datagram == FourTuple("172.17.0.1", 56789, "172.17.0.2", 45609)
    assert (event.before, event.direction, event.status, event.timeout) == (
        before,
        "original",
        8,
        30,
    )
    with pytest.raises(LookupError):
        Tracking(OpenDoors()).translation(8, DATAGRAM, 5)


def test_who_is_refused_again_and_again_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request for a module that is missing is a search of the kernel for it."""
    monkeypatch.setattr(conntrack, "_MODULE", "/sys")
    answers: list[OSError | None] = [NetlinkError(errno.EINVAL, "no"), None]
    answers += [OSError(errno.EPROTONOSUPPORT, "no")] * 3

    def find(*question: Any) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(tracking, "find_entry", find)
    asker = Tracking(OpenDoors())
    for _ in range(5):
        assert asker.is_tracking()
        assert asker.translation(7, DATAGRAM, 5) is None
    assert not asker.is_tracking()


def test_our_own_namespace() -> None:
    assert Tracking(Doors()).own_netns() == netns.netns_inum("/proc/self/ns/net")
    assert Tracking(Doors()).own_netns() in Tracking(Doors()).namespaces()
