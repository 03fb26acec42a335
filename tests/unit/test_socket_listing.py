"""What a listing says of a socket: whom it takes datagrams from, and which are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from tests.unit.build import BOX, sock
from tests.unit.listed import facts, group, listed, look
from tracer.events import TCP_CLOSE, Holder, SocketView
from tracer.parts import Netns, Process
from tracer.render.socket_columns import COLUMNS
from tracer.select import selection_of
from tracer.sockets.accepts import Reach, from_whom, is_exposed, reach
from tracer.sockets.choose import Choice, PortOrigin
from tracer.sockets.listing import Lister
from tracer.sockets.model import Joined, Reuseport

DISCONNECTED = replace(sock("[::]:53", "[2001:db8::1]:9"), state=TCP_CLOSE, pport=0)


@pytest.mark.parametrize(
    ("view", "who", "its_reach"),
    [
        (sock("0.0.0.0:53"), "anyone", "anyone"),
        (sock("10.0.0.5:53"), "anyone", "anyone"),
        (sock("[::]:53", v6only=False), "anyone", "anyone"),
        (sock("[::]:53", v6only=True), "anyone over IPv6", "anyone"),
        (sock("[2001:db8::5]:53", v6only=True), "anyone", "anyone"),
        (sock("[::]:53"), "anyone (over IPv4: not known)", "anyone"),
        (sock("127.0.0.1:53"), "anyone in its netns", "loopback"),
        (sock("[::1]:53"), "anyone in its netns", "loopback"),
        (sock("[::ffff:127.0.0.1]:53"), "anyone in its netns", "loopback"),
        (sock("0.0.0.0:53", device=1), "anyone in its netns, only via lo", "loopback"),
        (sock("0.0.0.0:53", device=2), "anyone, only via eth0", "device"),
        (sock("0.0.0.0:53", device=9), "anyone, only via 9", "device"),
        (sock("10.0.0.5:53", "10.0.0.1:9"), "only 10.0.0.1:9", "peer"),
        (sock("127.0.0.1:53", "127.0.0.1:9"), "only 127.0.0.1:9", "peer"),
        (sock("[::1]:53", "[::1]:9", device=2), "only [::1]:9, only via eth0", "peer"),
        (DISCONNECTED, "only 2001:db8::1 over IPv6, any port", "anyone"),
    ],
)
def test_whom_it_takes_datagrams_from(view: SocketView, who: str, its_reach: Reach) -> None:
    one = listed(view)
    assert (from_whom(one), reach(one)) == (who, its_reach)
    assert is_exposed(one) == (its_reach in ("anyone", "device"))


def test_nothing_is_made_up_without_the_iterator() -> None:
    one = listed(sock("0.0.0.0:53"), told=False)
    assert (one.socket.port_origin, one.socket.address_bound, one.kernel) == (None, None, None)
    assert (one.groups, one.shares_port, one.reuseport) == (None, None, None)


def test_an_interface_that_is_not_told_is_not_taken_for_none() -> None:
    view = sock("0.0.0.0:53")
    lister = Lister({}, lambda holder: Process(holder.pid, holder.comm, holder.fd, None))
    from_proc = replace(look([view], None), devices_told=False)
    (one,) = lister.sockets(from_proc, Netns(BOX, 7, "box"))
    assert from_whom(one) == "anyone (interface not known)"
    assert is_exposed(one)
    assert COLUMNS["device"].text(one) == "?"


def test_groups_have_their_interfaces_names() -> None:
    one = listed(sock("0.0.0.0:53"), groups=(group("239.1.1.1"), group("239.1.1.2", 9, True)))
    assert one.groups == (Joined("239.1.1.1", "eth0", False), Joined("239.1.1.2", "9", True))


def test_reuseport_groups_are_numbered_and_counted() -> None:
    views = [sock(f"0.0.0.0:{port}", inode=at) for at, port in enumerate((53, 53, 54, 55), 1)]
    groups = (0xFFFF0001, 0xFFFF0001, 0xFFFF0002, 0)
    known = [
        facts(view, reuseport=bool(number), reuseport_group=number)
        for view, number in zip(views, groups, strict=True)
    ]
    lister = Lister({}, lambda holder: Process(holder.pid, holder.comm, holder.fd, None))
    found = lister.sockets(look(views, known), Netns(BOX, 7, "box"))
    expected = [Reuseport(1, 2), Reuseport(1, 2), Reuseport(2, 1), None]
    assert [one.reuseport for one in found] == expected


CLIENT = Holder(2092, "client", 3)
ONE = listed(sock("10.0.0.5:53"), CLIENT, port_lock=False)
PEER = listed(sock("[::1]:53", "[::1]:9"))


@pytest.mark.parametrize(
    ("chosen", "pairs", "one", "peer"),
    [
        ({}, [], True, True),
        ({"state": "UNCONN"}, [], True, False),
        ({"state": "ESTAB"}, [], False, True),
        ({"port_origin": "kernel-chosen"}, [], True, False),
        ({"port_origin": "bound"}, [], False, True),
        ({"exposed": True}, [], True, False),
        ({}, [("port", "53")], True, True),
        ({}, [("port", "9")], False, True),
        ({}, [("host", "10.0.0.0/8")], True, False),
        ({}, [("host", "0.0.0.0/0")], True, False),
        ({}, [("family", "ipv6")], False, True),
        ({}, [("process", "client")], True, False),
        ({}, [("process", "2092"), ("port", "9")], False, False),
    ],
)
def test_filters(
    chosen: dict[str, Any], pairs: list[tuple[str, str]], one: bool, peer: bool
) -> None:
    choice = Choice(selection_of(pairs), **chosen)
    assert (choice.wants(ONE), choice.wants(PEER)) == (one, peer)


@pytest.mark.parametrize("origin", get_args(PortOrigin))
def test_an_unknown_origin_passes_for_neither(origin: PortOrigin) -> None:
    unknown = listed(sock("0.0.0.0:53"), told=False)
    assert not Choice(selection_of([]), port_origin=origin).wants(unknown)
