"""How a datagram would come in: by which interface, and why no socket would be looked up for it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.unit.build import HOST, namespace
from tracer.errors import UdptraceError, UsageError
from tracer.events import Family
from tracer.system import arrival
from tracer.system.arrival import Arrival, Ends, find_arrival
from tracer.system.netlink import NetlinkError
from tracer.system.netns import Forbidden, Netns
from tracer.system.routes import Route, parse_route

LO, ETH0, ETH1, VRF, RED = 1, 2, 3, 9, 8
NETNS = Netns(HOST, "host", "/proc/self/ns/net")
LINKS = {LO: "lo", ETH0: "eth0", ETH1: "eth1", VRF: "vrf0", RED: "red0"}
HELD = {"127.0.0.1": LO, "10.0.0.1": ETH0, "10.0.1.1": ETH1, "10.8.1.1": RED, "fe80::1": ETH0}
INFO = namespace(0, HOST, "host", *HELD, links=tuple(LINKS.items()))
REMOTE = {"10.0.0.9": ETH0, "192.0.2.7": ETH1, "10.8.1.2": ETH0}


class Kernel:
    """A namespace's routing: what `route` is asked, and the answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, str, int, int]] = []
        self.refusal: int | None = None
        monkeypatch.setattr(arrival, "route", self.route)
        monkeypatch.setattr(arrival, "addresses_on_links", lambda: tuple(HELD.items()))
        monkeypatch.setattr(arrival, "vrfs", lambda: {RED: VRF})
        monkeypatch.setattr(arrival, "in_netns", lambda netns, function: function())

    def route(self, dst: str, src: str = "", *, iif: int = 0, oif: int = 0) -> Route | None:
        self.asked.append((dst, src, iif, oif))
        if iif and self.refusal is not None:
            raise NetlinkError(self.refusal, "refused")
        if oif and HELD.get(dst) != oif:
            return None
        if dst == "10.7.1.9":
            return Route("local", LO)  # by `ip route add local`
        if dst == "10.0.0.255":
            return Route("broadcast", ETH0)
        if dst in HELD and (iif or HELD[dst] != RED):
            return Route("local", HELD[dst])
        return Route("other", REMOTE[dst]) if dst in REMOTE else None


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def coming(src: str, dst: str, device: str | None = None) -> Arrival:
    family: Family = "ipv6" if ":" in src else "ipv4"
    return find_arrival(NETNS, INFO, Ends(family, src, 4000, dst, 53, device))


@pytest.mark.parametrize(
    ("src", "dst", "device", "way", "ifindex", "sdif"),
    [
        ("127.0.0.1", "127.0.0.1", None, "over lo", LO, 0),
        # The route of an own address names the interface that has it.
        ("10.0.0.1", "10.0.1.1", None, "over lo, as if by eth1, which has 10.0.1.1", ETH1, 0),
        ("10.0.0.9", "10.0.0.1", None, "by eth0, the way to 10.0.0.9", ETH0, 0),
        ("192.0.2.7", "10.0.0.1", None, "by eth1, the way to 192.0.2.7", ETH1, 0),
        ("203.0.113.5", "10.0.0.1", None, "by eth0, which has 10.0.0.1", ETH0, 0),
        ("0.0.0.0", "10.0.0.1", None, "by eth0, which has 10.0.0.1", ETH0, 0),
        ("10.0.0.9", "10.0.0.1", "eth1", "by eth1", ETH1, 0),
        ("10.0.0.9", "10.0.0.1", "3", "by eth1", ETH1, 0),
        ("10.0.0.9", "10.7.1.9", "eth1", "by eth1", ETH1, 0),
        ("10.0.0.1", "10.0.1.1", "lo", "over lo, as if by eth1, which has 10.0.1.1", ETH1, 0),
        ("fe80::9", "fe80::1", "eth0", "by eth0", ETH0, 0),
        # Below a VRF the lookup compares the VRF, then the interface in it.
        ("10.8.1.2", "10.8.1.1", None, "by red0, which has 10.8.1.1", VRF, RED),
        ("10.8.1.2", "10.8.1.1", "red0", "by red0", VRF, RED),
    ],
)
def test_the_way(
    kernel: Kernel, src: str, dst: str, device: str | None, way: str, ifindex: int, sdif: int
) -> None:
    found = coming(src, dst, device)
    assert (found.way, found.unreached, found.broadcast) == (way, None, False)
    assert (found.datagram.ifindex, found.datagram.sdif) == (ifindex, sdif)
    assert not found.doubts


def test_the_kernel_is_asked_for_what_comes_in(kernel: Kernel) -> None:
    coming("10.0.0.9", "10.0.0.1")
    assert kernel.asked[-1] == ("10.0.0.1", "10.0.0.9", ETH0, 0)


def test_a_broadcast(kernel: Kernel) -> None:
    assert coming("10.0.0.9", "10.0.0.255").broadcast
    own = coming("10.0.0.1", "10.0.0.255")
    assert (own.way, own.broadcast) == ("sent here by eth0 and looped back", True)
    limited = coming("0.0.0.0", "255.255.255.255", "eth0")
    assert (limited.broadcast, limited.unreached) == (True, None)


def test_what_is_not_for_this_namespace(kernel: Kernel) -> None:
    why = coming("10.0.0.9", "10.0.0.77").unreached
    assert why is not None
    assert why.startswith("10.0.0.77 is no address of this namespace: the datagram would be routed")


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (errno.EXDEV, "the reverse path filter drops what 10.0.0.9 sends by eth0"),
        (errno.EINVAL, "routing refuses 10.0.0.9 to 10.0.0.1 by eth0 (a martian, the reverse"),
    ],
)
def test_what_routing_refuses(kernel: Kernel, refusal: int, words: str) -> None:
    kernel.refusal = refusal
    found = coming("10.0.0.9", "10.0.0.1")
    assert found.unreached is not None
    assert found.unreached.startswith(words)


def test_another_error_is_no_verdict(kernel: Kernel) -> None:
    kernel.refusal = errno.ENOBUFS
    with pytest.raises(NetlinkError):
        coming("10.0.0.9", "10.0.0.1")


@pytest.mark.parametrize(
    ("src", "dst", "device", "failure", "words"),
    [
        ("10.0.0.9", "10.0.0.1", "eth7", UsageError, "--dev eth7: no such interface there"),
        ("203.0.113.5", "127.0.0.1", None, UsageError, "no route to 203.0.113.5: add --dev"),
        ("10.8.1.1", "10.0.0.1", None, UdptraceError, "in a VRF: that is not modelled"),
    ],
)
def test_what_cannot_be_answered(
    kernel: Kernel,
    src: str,
    dst: str,
    device: str | None,
    failure: type[UdptraceError],
    words: str,
) -> None:
    with pytest.raises(failure, match=words.replace("(", r"\(")):
        coming(src, dst, device)


def test_ipv6_loopback_comes_in_by_no_interface(kernel: Kernel) -> None:
    found = coming("::1", "fe80::1", "eth0")
    assert found.unreached == "::1 does not come in by eth0: the datagram would be dropped"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace that may not be entered."""

    def refuse(netns: Netns, function: Callable[[], Arrival]) -> Arrival:
        raise Forbidden(errno.EPERM, "not permitted")

    monkeypatch.setattr(arrival, "in_netns", refuse)


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize(
    ("src", "dst", "way", "reached"),
    [
        ("127.0.0.1", "127.0.0.2", "by lo", True),
        ("10.0.0.9", "10.0.0.1", "by an interface not known", True),
        ("10.0.0.9", "10.0.0.77", "by an interface not known", False),
        ("10.0.0.9", "127.0.0.1", "by an interface not known", False),
    ],
)
def test_from_outside_the_addresses_tell(src: str, dst: str, way: str, reached: bool) -> None:
    found = coming(src, dst)
    assert (found.way, found.unreached is None) == (way, reached)
    assert found.doubts == (arrival.NO_ROUTES,)


def test_a_route_message() -> None:
    header = bytes([2, 32, 0, 0, 255, 2, 254, 2]) + bytes(4)
    assert parse_route(header + b"\x08\x00\x04\x00\x03\x00\x00\x00") == Route("local", 3)
    assert parse_route(header[:7] + b"\x01" + bytes(4)) == Route("other", 0)
    with pytest.raises(NetlinkError):
        parse_route(header[:11])
