"""The matcher against compute_score: each check, its order, and the lookalikes that do match."""

from __future__ import annotations

import pytest

from tests.unit.build import gram, sock
from tracer.causes import Cause
from tracer.events import SocketView
from tracer.match import failing_checks, nearest, takes_part


def fields(socket: SocketView, src: str, dst: str, ifindex: int = 2, sdif: int = 0) -> list[str]:
    datagram = gram(src, dst, ifindex=ifindex, sdif=sdif)
    return [str(check.field) for check in failing_checks(socket, datagram)]


@pytest.mark.parametrize(
    ("socket", "src", "dst", "expected"),
    [
        # The seed's two ends, and the same sockets with the datagram they would have taken.
        (
            sock("172.17.0.2:45609", "10.128.135.176:56789"),
            "172.17.0.1:56789",
            "172.17.0.2:45609",
            ["remote-address"],
        ),
        (
            sock("172.17.0.2:45609", "10.128.135.176:56789"),
            "10.128.135.176:56789",
            "172.17.0.2:45609",
            [],
        ),
        (
            sock("172.17.0.1:56789", "172.17.0.2:45609"),
            "172.17.0.2:45609",
            "10.128.135.176:56789",
            ["local-address"],
        ),
        (
            sock("172.17.0.1:56789", "172.17.0.2:45609"),
            "172.17.0.2:45609",
            "172.17.0.1:56789",
            [],
        ),
        (sock("0.0.0.0:53"), "10.0.0.9:4000", "10.0.0.1:53", []),
        (sock("10.0.0.1:53"), "10.0.0.9:4000", "10.0.0.1:53", []),
        (sock("127.0.0.1:53"), "10.0.0.9:4000", "10.0.0.1:53", ["local-address"]),
        (sock("0.0.0.0:53", "10.0.0.9:4000"), "10.0.0.9:4001", "10.0.0.1:53", ["remote-port"]),
        (sock("0.0.0.0:53", "10.0.0.9:4000"), "10.0.0.9:4000", "10.0.0.1:53", []),
        # connect() to port 0 compares the address only.
        (sock("10.0.0.1:53", "10.0.0.9:0"), "10.0.0.9:4000", "10.0.0.1:53", []),
        (
            sock("10.0.0.2:53", "10.0.0.8:1"),
            "10.0.0.9:4000",
            "10.0.0.1:53",
            ["local-address", "remote-address", "remote-port"],
        ),
    ],
)
def test_ipv4_checks(socket: SocketView, src: str, dst: str, expected: list[str]) -> None:
    assert fields(socket, src, dst) == expected


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        (sock("[::]:53"), []),
        (sock("[::]:53", v6only=False), []),
        (sock("[::]:53", v6only=True), ["ipv6-only"]),
        (sock("[::ffff:10.0.0.1]:53"), []),
        (sock("[::ffff:10.0.0.2]:53"), ["local-address"]),
        (sock("[::ffff:10.0.0.1]:53", "[::ffff:10.0.0.9]:4000"), []),
        (sock("[::ffff:10.0.0.1]:53", "[::ffff:10.0.0.8]:4000"), ["remote-address"]),
        # What the kernel says outweighs what the text of the address suggests.
        (sock("[::ffff:10.0.0.1]:53", local4="10.0.0.2", peer4="0.0.0.0"), ["local-address"]),
        # Tied to a native address by connect(): 127.0.0.6 to an IPv4 lookup, told or not.
        (sock("[2001:db8::1]:53", "[2001:db8::2]:4000"), ["local-address"]),
        (
            sock("[2001:db8::1]:53", "[2001:db8::2]:4000", local4="127.0.0.6", peer4="0.0.0.0"),
            ["local-address"],
        ),
        (sock("[2001:db8::1]:53", v6only=True), ["ipv6-only", "local-address"]),
    ],
)
def test_ipv6_sockets_in_an_ipv4_lookup(socket: SocketView, expected: list[str]) -> None:
    assert fields(socket, "10.0.0.9:4000", "10.0.0.1:53") == expected


def test_the_placeholder_of_a_native_socket_is_never_shown() -> None:
    socket = sock("[2001:db8::1]:53", "[2001:db8::2]:4000", local4="127.0.0.6", peer4="0.0.0.0")
    (check,) = failing_checks(socket, gram("10.0.0.9:4000", "10.0.0.1:53"))
    assert (check.socket, check.datagram) == ("2001:db8::1", "10.0.0.1")


def test_the_placeholder_matches_where_the_kernel_lets_it() -> None:
    native = sock("[2001:db8::1]:53", local4="127.0.0.6", peer4="0.0.0.0")
    assert fields(native, "127.0.0.1:4000", "127.0.0.6:53") == []
    assert fields(sock("127.0.0.6:53"), "127.0.0.1:4000", "127.0.0.1:53") == ["local-address"]


def test_ipv6_looks_at_the_port_before_the_address() -> None:
    socket = sock("[2001:db8::1]:53", "[2001:db8::8]:1")
    expected = ["local-address", "remote-port", "remote-address"]
    assert fields(socket, "[2001:db8::9]:4000", "[2001:db8::2]:53") == expected
    assert fields(socket, "[2001:db8::8]:1", "[2001:db8::1]:53") == []
    assert fields(sock("[::]:53"), "[2001:db8::9]:4000", "[2001:db8::2]:53") == []


def test_an_ipv4_socket_takes_no_part_in_an_ipv6_lookup() -> None:
    six, four = gram("[::1]:4000", "[::1]:53"), gram("127.0.0.1:4000", "127.0.0.1:53")
    assert not takes_part(sock("0.0.0.0:53"), six)
    assert takes_part(sock("0.0.0.0:53"), four)
    assert takes_part(sock("[::]:53"), four)
    assert nearest([sock("0.0.0.0:53")], six) is None


@pytest.mark.parametrize(
    ("device", "ifindex", "sdif", "expected"),
    [
        (0, 2, 0, []),
        (2, 2, 0, []),
        (3, 2, 0, ["device"]),
        # In a VRF: dif is the VRF's, sdif the enslaved interface's.
        (0, 9, 2, ["device"]),
        (9, 9, 2, []),
        (2, 9, 2, []),
        (3, 9, 2, ["device"]),
    ],
)
def test_device(device: int, ifindex: int, sdif: int, expected: list[str]) -> None:
    socket = sock("0.0.0.0:53", device=device)
    assert fields(socket, "10.0.0.9:1", "10.0.0.1:53", ifindex=ifindex, sdif=sdif) == expected


def test_an_unbound_socket_takes_from_a_vrf_when_told_to() -> None:
    datagram = gram("10.0.0.9:1", "10.0.0.1:53", ifindex=9, sdif=2)
    assert failing_checks(sock("0.0.0.0:53"), datagram, l3mdev_accept=True) == ()


def test_devices_are_named_where_the_name_is_known() -> None:
    datagram = gram("10.0.0.9:1", "10.0.0.1:53", ifname="eth0")
    socket = sock("0.0.0.0:53", device=3)
    (named,) = failing_checks(socket, datagram, links={3: "eth1"})
    (unnamed,) = failing_checks(socket, datagram)
    assert (named.socket, named.datagram) == ("eth1", "eth0")
    assert unnamed.socket == "3"


DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")


@pytest.mark.parametrize(
    ("near", "far"),
    [
        # Fewest failing checks.
        (sock("10.0.0.2:53"), sock("10.0.0.2:53", "10.0.0.9:1")),
        # Connected before unconnected.
        (sock("10.0.0.2:53", "10.0.0.9:4000"), sock("10.0.0.2:53")),
        # The later check: the kernel went further with it.
        (sock("10.0.0.1:53", "10.0.0.8:4000"), sock("10.0.0.2:53", "10.0.0.9:4000")),
        (sock("10.0.0.1:53", "10.0.0.9:1"), sock("10.0.0.1:53", "10.0.0.8:4000")),
        (sock("0.0.0.0:53", device=5), sock("10.0.0.2:53")),
        # Among equals the oldest.
        (sock("10.0.0.2:53", inode=1), sock("10.0.0.3:53", inode=2)),
    ],
)
def test_nearest(near: SocketView, far: SocketView) -> None:
    for candidates in ([near, far], [far, near]):
        found = nearest(candidates, DATAGRAM)
        assert found is not None
        assert found.socket == near


def test_nearest_of_none() -> None:
    assert nearest([], DATAGRAM) is None


def test_every_cause_says_what_it_means() -> None:
    assert all(cause.meaning and "\n" not in cause.meaning for cause in Cause)
    assert str(Cause.NO_SOCKET) == "no-socket"
