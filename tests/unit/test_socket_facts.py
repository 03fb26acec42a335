"""The socket iterator's bytes, whole and damaged, and the sockets they are found for."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import sock
from tests.unit.listed import facts
from tracer import wire
from tracer.sockets.facts import FactsOf, parse_facts
from tracer.sockets.model import Facts, Group
from tracer.wire import WireError, WireListed, WireListedGroup

MORE = bytes(WireListedGroup(kind=wire.LISTED_MORE))


def a_socket(lport: int, flags: int = 0, cookie: int = 0, inode: int = 0, group: int = 0) -> bytes:
    return bytes(
        WireListed(
            kind=wire.LISTED_SOCKET,
            flags=flags,
            lport=lport,
            cookie=cookie,
            inode=inode,
            group=group,
        )
    )


def a_group(address: str, ifindex: int, sources: int = 0) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.inet_pton(family, address).ljust(16, b"\0")
    record = WireListedGroup(kind=wire.LISTED_GROUP, sources=sources, family=family)
    record.ifindex = ifindex
    record.address[:] = raw
    return bytes(record)


def test_a_socket_and_its_groups() -> None:
    flags = wire.ADDR_LOCK | wire.PORT_LOCK
    data = (
        a_socket(53, flags, cookie=7, inode=8)
        + a_group("239.1.1.1", 2)
        + a_group("ff02::fb", 3, sources=1)
        + MORE
        + a_socket(54, wire.REUSEPORT | wire.KERNEL, cookie=9, inode=10, group=2**63 + 1)
    )
    groups = (Group("239.1.1.1", 2, False), Group("ff02::fb", 3, True))
    assert parse_facts(data) == [
        Facts(53, 7, 8, True, True, False, 0, False, groups, True),
        Facts(54, 9, 10, False, False, True, 2**63 + 1, True, (), False),
    ]


@pytest.mark.parametrize(
    "data",
    [
        a_socket(53)[:-1],
        MORE,
        a_group("239.1.1.1", 2) + a_socket(53),
        bytes([9]) + bytes(31),
        a_socket(53) + bytes(WireListedGroup(kind=wire.LISTED_GROUP, family=9)),
    ],
    ids=["cut off", "more of nothing", "a group before its socket", "no such kind", "no family"],
)
def test_a_wrong_record_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_facts(data)


@given(st.binary(max_size=5 * 32))
def test_no_bytes_do_anything_but_parse_or_fail(data: bytes) -> None:
    with suppress(WireError):
        parse_facts(data)


def test_facts_are_found_by_cookie_and_else_by_inode() -> None:
    one, other = sock("0.0.0.0:53", inode=8, cookie=7), sock("0.0.0.0:54", inode=10, cookie=9)
    found = FactsOf([facts(one), facts(other)])
    assert found.find(one) == facts(one)
    assert found.find(sock("0.0.0.0:54", inode=10)) == facts(other)
    assert found.find(sock("0.0.0.0:54", inode=11, cookie=12)) is None
    assert FactsOf([facts(sock("0.0.0.0:53", inode=0))]).find(sock("0.0.0.0:53", inode=0)) is None


def test_facts_of_another_port_are_not_believed() -> None:
    before, after = sock("0.0.0.0:53", inode=8, cookie=7), sock("0.0.0.0:54", inode=8, cookie=7)
    assert FactsOf([facts(after)]).find(before) is None
