"""The netlink parser, on captured bytes and on lies."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.netlink_samples import ADDRESSES, DONE, DONE_ENOENT, SOCKETS4
from tracer.system import netlink
from tracer.system.links import local_addresses, parse_address, parse_link
from tracer.system.netlink import NetlinkError, dump, get, parse_attributes, parse_messages

INTERRUPTED = 0x10


class FakeChannel:
    """A netlink socket that answers each request with the next of its scripts."""

    def __init__(self, *scripts: list[bytes]) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self._answers: Iterator[bytes] = iter(())

    def __enter__(self) -> FakeChannel:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        pass

    def bind(self, address: tuple[int, int]) -> None:
        pass

    def send(self, request: bytes) -> None:
        self.requests.append(request)
        self._answers = iter(self.scripts.pop(0))

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, object]:
        return next(self._answers), [], 0, None


def _message(kind: int, body: bytes = b"", flags: int = 2, sequence: int = 1) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def _use(monkeypatch: pytest.MonkeyPatch, channel: FakeChannel) -> FakeChannel:
    monkeypatch.setattr(socket, "socket", lambda *args: channel)
    return channel


def test_a_dump_is_the_bodies_until_done(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _use(monkeypatch, FakeChannel([SOCKETS4, DONE]))
    bodies = dump(netlink.NETLINK_SOCK_DIAG, 20, b"request")
    assert [len(body) for body in bodies] == [108, 108]
    assert channel.requests == [_message(20, b"request", flags=0x301)]


def test_a_dump_that_changed_meanwhile_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [_message(20, b"old."), _message(3, bytes(4), INTERRUPTED)]
    second = [_message(20, b"new.", sequence=2), _message(3, bytes(4), sequence=2)]
    channel = _use(monkeypatch, FakeChannel(first, second))
    assert dump(0, 20, b"") == [b"new."]
    assert len(channel.requests) == 2


def test_a_dump_that_always_changes_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = [
        [_message(20, b"%04d" % n, INTERRUPTED, n), _message(3, bytes(4), 2, n)]
        for n in range(1, 6)
    ]
    _use(monkeypatch, FakeChannel(*scripts))
    assert dump(0, 20, b"") == [b"0005"]


def test_the_kernel_s_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, FakeChannel([DONE_ENOENT]))
    with pytest.raises(NetlinkError) as caught:
        dump(0, 20, b"")
    assert caught.value.errno == errno.ENOENT
    _use(monkeypatch, FakeChannel([_message(2, struct.pack("=i", -errno.EPERM) + bytes(16))]))
    with pytest.raises(NetlinkError, match="Operation not permitted"):
        dump(0, 20, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\1",
        bytes(16),
        struct.pack("=IHHII", 15, 20, 0, 1, 0),
        struct.pack("=IHHII", 17, 20, 0, 1, 0),
        struct.pack("=IHHII", 0xFFFFFFFF, 20, 0, 1, 0),
        SOCKETS4[:-1],
    ],
)
def test_a_length_that_lies_is_an_error(data: bytes) -> None:
    with pytest.raises(NetlinkError):
        list(parse_messages(data))


@pytest.mark.parametrize(
    "data", [struct.pack("=HH", 3, 1), struct.pack("=HH", 0, 1), struct.pack("=HH", 9, 1) + b"ab"]
)
def test_an_attribute_s_length_that_lies_is_an_error(data: bytes) -> None:
    with pytest.raises(NetlinkError):
        parse_attributes(data)


def test_attributes_lose_their_flags_and_padding() -> None:
    data = struct.pack("=HH", 5, 0x8003) + b"x\0\0\0" + struct.pack("=HH", 4, 7)
    assert parse_attributes(data) == {3: b"x", 7: b""}


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, FakeChannel([ADDRESSES, DONE]))
    found = local_addresses()
    assert found[:3] == ("127.0.0.1", "10.128.135.176", "10.9.0.1")
    assert "::1" in found
    assert "fd00::5" in found
    assert len(found) == 7


def test_an_address_of_another_family_is_none() -> None:
    assert parse_address(bytes([socket.AF_APPLETALK]) + bytes(7)) is None


@pytest.mark.parametrize("body", [b"", bytes(7), bytes([socket.AF_INET]) + bytes(7)])
def test_a_wrong_address_message_is_an_error(body: bytes) -> None:
    with pytest.raises(NetlinkError):
        parse_address(body)


def test_a_link() -> None:
    header = struct.pack("=BxHiII", 0, 1, 4, 0, 0)
    assert parse_link(header + struct.pack("=HH5s3x", 9, 3, b"eth0\0")) == (4, "eth0")
    assert parse_link(header + struct.pack("=HH3s1x", 7, 3, b"\xff\x1b\0")) == (4, "\\xff\x1b")
    with pytest.raises(NetlinkError):
        parse_link(header[:-1])


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_parse_or_fail(data: bytes) -> None:
    for parse in (lambda d: list(parse_messages(d)), parse_attributes, parse_address, parse_link):
        with suppress(NetlinkError):
            parse(data)


def test_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _use(monkeypatch, FakeChannel([_message(0x100, b"the object")]))
    assert get(12, 0x101, b"asked") == b"the object"
    assert channel.requests == [_message(0x101, b"asked", flags=0x001)]


def test_no_such_object(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, FakeChannel([_message(2, struct.pack("=i", -errno.ENOENT) + bytes(16))]))
    assert get(12, 0x101, b"") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        _message(2, struct.pack("=i", -errno.EPERM) + bytes(16)),
        _message(2, bytes(20)),
        _message(2, b"\xff"),
        _message(0x100, b"")[:-1],
    ],
)
def test_an_object_that_is_not_told(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    _use(monkeypatch, FakeChannel([answer]))
    with pytest.raises(NetlinkError):
        get(12, 0x101, b"")
