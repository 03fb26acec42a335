"""`udptrace check` beside the real thing: what it says of a datagram, and what becomes of one.

No trace is needed for it, and none runs.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from tests.kernel.live import Json, run
from tests.kernel.net import Namespace, arrival, ip, link, received, unlimited_peers
from tests.kernel.test_matcher import Round, await_outcome, take_error
from tracer.cli.check import command

NEAR4, FAR4 = "10.6.0.1", "10.6.0.2"
NEAR6, FAR6 = "fd06::1", "fd06::2"
SENDER = 6001
OPEN, LOOPBACK, CONNECTED, RIGHT_PEER, DEVICE, ONLY6, DUAL, GROUP, COPIES, TWICE = range(7001, 7011)
NOBODY = 7099


@dataclass
class Place:
    """The namespace asked about, its neighbour, and the sockets that wait in the first."""

    near: Namespace
    far: Namespace
    sockets: dict[int, socket.socket]

    def waiting(self) -> Round:
        """The sockets, for the tests' ways to wait."""
        return Round(self.sockets, [])


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with Namespace("near") as near, Namespace("far") as far:
        link(near, far)
        for namespace, four, six in ((near, NEAR4, NEAR6), (far, FAR4, FAR6)):
            namespace.ip(
                f"address add {four}/24 broadcast + dev eth0",
                f"address add {six}/64 dev eth0 nodad",
            )
        ip("-n", far.name, "route", "add", "10.7.0.0/24", "via", NEAR4)
        unlimited_peers(near, far)
        yield Place(near, far, {os.fstat(s.fileno()).st_ino: s for s in _sockets(near)})


def _sockets(near: Namespace) -> list[socket.socket]:
    made = [
        near.udp(bind=("0.0.0.0", OPEN)),
        near.udp(bind=("127.0.0.1", LOOPBACK)),
        near.udp(bind=(NEAR4, CONNECTED), connect=("10.6.0.9", SENDER)),
        near.udp(bind=(NEAR4, RIGHT_PEER), connect=(FAR4, SENDER)),
        near.udp(bind=("::", DUAL), family=socket.AF_INET6),
    ]
    with_option: list[tuple[int, int, int, int, int | bytes]] = [
        (socket.AF_INET, DEVICE, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo"),
        (socket.AF_INET6, ONLY6, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1),
        *[(socket.AF_INET, GROUP, socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)] * 4,
        *[(socket.AF_INET, COPIES, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)] * 2,
        *[(socket.AF_INET, TWICE, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)] * 2,
    ]
    for family, port, level, option, value in with_option:
        sock = near.udp(family=family)
        sock.setsockopt(level, option, value)
        sock.bind(("0.0.0.0" if family == socket.AF_INET else "::", port))
        made.append(sock)
    # Preferred to the two on the same port that name none.
    named = near.udp()
    named.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    named.bind((NEAR4, TWICE))
    return [*made, named]


def end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def ask(*arguments: str) -> tuple[int, Json]:
    """What `check` says, with its exit status; run within this process, whose start takes seconds
    under emulation."""
    done = CliRunner().invoke(command, ["-f", "json", *arguments])
    assert done.stdout, done
    answer: Json = json.loads(done.stdout)
    return getattr(done.exception, "exit_code", done.exit_code), answer


def send(place: Place, sender: Namespace, src: str, dst: str, port: int) -> tuple[set[int], bool]:
    """Send a datagram; the sockets, by inode, that got it, and whether it was refused."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    with closing(sender.udp(bind=(src, SENDER), family=family)) as sock:
        level, option = (socket.IPPROTO_IPV6, 25) if ":" in src else (socket.IPPROTO_IP, 11)
        sock.setsockopt(level, option, 1)  # IPV6_RECVERR, IP_RECVERR
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"x", (dst, port))
        await_outcome(sock, place.waiting())
        got = {inode for inode, waiting in place.sockets.items() if received(waiting)}
        return got, take_error(sock) == errno.ECONNREFUSED


SITUATIONS = [
    # A socket takes it, or one of several.
    (FAR4, NEAR4, OPEN, "delivered"),
    (FAR4, NEAR4, RIGHT_PEER, "delivered"),
    (FAR4, NEAR4, DUAL, "delivered"),
    (FAR6, NEAR6, DUAL, "delivered"),
    (FAR6, NEAR6, ONLY6, "delivered"),
    (FAR4, NEAR4, TWICE, "delivered"),
    (FAR4, NEAR4, GROUP, "delivered"),
    # It would miss.
    (FAR4, NEAR4, LOOPBACK, "local-address"),
    (FAR4, NEAR4, CONNECTED, "remote-address"),
    (FAR4, NEAR4, ONLY6, "ipv6-only"),
    (FAR4, NEAR4, DEVICE, "device"),
    (FAR4, NEAR4, NOBODY, "no-socket"),
    (FAR6, NEAR6, OPEN, "no-socket"),
    # What the namespace sends to itself.
    ("127.0.0.1", "127.0.0.1", LOOPBACK, "delivered"),
    ("127.0.0.1", "127.0.0.1", DEVICE, "delivered"),
    (NEAR4, NEAR4, DEVICE, "device"),
    (NEAR4, NEAR4, RIGHT_PEER, "remote-address"),
]


@pytest.mark.parametrize(("src", "dst", "port", "outcome"), SITUATIONS)
def test_it_says_what_becomes_of_a_real_datagram(
    place: Place, src: str, dst: str, port: int, outcome: str
) -> None:
    status, answer = ask("-N", place.near.name, end(src, SENDER), end(dst, port))
    sender = place.far if src in (FAR4, FAR6) else place.near
    got, refused = send(place, sender, src, dst, port)
    assert (bool(got), refused) == (outcome == "delivered", outcome != "delivered")
    if outcome == "delivered":
        assert (status, answer["verdict"], answer["cause"]) == (0, "delivered", None)
        takers = answer["group"] or [answer["socket"]]
        assert got <= {taker["inode"] for taker in takers}
        assert len(takers) == (4 if port == GROUP else 1)
    else:
        assert (status, answer["verdict"], answer["cause"]) == (3, "missed", outcome)
        assert answer["advice"]
    holders = (answer["socket"] or {"processes": [{"pid": os.getpid()}]})["processes"]
    assert [holder["pid"] for holder in holders] == [os.getpid()]
    assert answer["certain"]
    assert answer["netns"]["name"] == place.near.name


def test_it_changes_with_the_sockets(place: Place) -> None:
    question = ("-N", place.near.name, end(FAR4, SENDER), end(NEAR4, NOBODY))
    with closing(place.near.udp(bind=("0.0.0.0", NOBODY))):
        assert ask(*question)[0] == 0
    status, answer = ask(*question)
    assert (status, answer["cause"], answer["socket"]) == (3, "no-socket", None)


def test_a_broadcast_goes_to_each(place: Place) -> None:
    status, answer = ask("-N", place.near.name, end(FAR4, SENDER), end("10.6.0.255", COPIES))
    got, _ = send(place, place.far, FAR4, "10.6.0.255", COPIES)
    for sock in place.sockets.values():
        if sock.getsockname()[1] == COPIES and os.fstat(sock.fileno()).st_ino not in got:
            arrival(sock)
            got.add(os.fstat(sock.fileno()).st_ino)
    assert (status, answer["verdict"], answer["broadcast"]) == (0, "delivered", True)
    assert {taker["inode"] for taker in answer["group"]} == got


def test_what_is_not_for_this_namespace_is_looked_up_nowhere(place: Place) -> None:
    status, answer = ask("-N", place.near.name, end(FAR4, SENDER), end("10.7.0.9", OPEN))
    before = place.near.counters()["UdpNoPorts"]
    with closing(place.far.udp(bind=(FAR4, SENDER))) as sock:
        sock.sendto(b"elsewhere", ("10.7.0.9", OPEN))
        sock.sendto(b"here", (NEAR4, OPEN))
    (waiting,) = (s for s in place.sockets.values() if s.getsockname()[1] == OPEN)
    assert arrival(waiting) == b"here"
    assert place.near.counters()["UdpNoPorts"] == before
    assert (status, answer["verdict"], answer["cause"]) == (3, None, None)
    assert "no address of this namespace" in answer["why"]


def test_an_address_that_a_local_route_adds_is_this_namespaces(place: Place) -> None:
    place.near.ip("route add local 10.7.1.0/24 dev lo")
    try:
        ip("-n", place.far.name, "route", "add", "10.7.1.0/24", "via", NEAR4)
        question = ("-N", place.near.name, end(FAR4, SENDER), end("10.7.1.9", OPEN))
        statuses = [ask(*question)[0], ask("--dev", "eth0", *question)[0]]
        got, _ = send(place, place.far, FAR4, "10.7.1.9", OPEN)
    finally:
        place.near.ip("route delete local 10.7.1.0/24 dev lo")
    assert (statuses, len(got)) == ([0, 0], 1)


def test_the_reverse_path_filter_is_told_of(place: Place) -> None:
    place.near.sysctl(ipv4__conf__eth0__rp_filter="1")
    question = ("-N", place.near.name, "--dev", "eth0")
    try:
        status, answer = ask(*question, end("203.0.113.9", SENDER), end(NEAR4, OPEN))
    finally:
        place.near.sysctl(ipv4__conf__eth0__rp_filter="0")
    assert (status, answer["verdict"]) == (3, None)
    assert "reverse path filter" in answer["why"]
    assert ask(*question, end(FAR4, SENDER), end(NEAR4, OPEN))[0] == 0


def test_the_socket_is_in_another_namespace(place: Place) -> None:
    question = (end(FAR4, SENDER), end(FAR4, OPEN))
    status, answer = ask("-N", place.far.name, *question)
    assert (status, answer["cause"]) == (3, "no-socket")
    # The loopback addresses are every namespace's.
    _, answer = ask("-N", place.far.name, end("127.0.0.1", SENDER), end("127.0.0.1", LOOPBACK))
    assert f"netns {place.near.name} would have taken it" in answer["hints"][0]


def test_a_process_or_the_caller_names_the_namespace(place: Place) -> None:
    question = (end(FAR4, SENDER), end(NEAR4, OPEN))
    process = place.near.inside(lambda: subprocess.Popen(["sleep", "1000"]))
    try:
        assert ask("-p", str(process.pid), *question)[0] == 0
    finally:
        process.kill()
        process.wait()
    own = place.near.inside(lambda: run("check", *question))
    assert (own.returncode, own.stderr) == (0, "")
    assert f"netns {place.near.name}, by eth0, the way to {FAR4}" in own.stdout


def test_a_link_local_address_needs_its_link(place: Place) -> None:
    (raw,) = (line.split()[3] for line in place.near.run(
        "ip", "-o", "-6", "address", "show", "dev", "eth0", "scope", "link"
    ).splitlines())  # fmt: skip
    address = raw.partition("/")[0]
    question = ("-N", place.near.name, f"[fe80::9%eth0]:{SENDER}")
    assert ask(*question, f"[{address}%eth0]:{DUAL}")[0] == 0
    assert ask(*question, f"[{address}%eth0]:{NOBODY}")[0] == 3


def test_below_a_vrf() -> None:
    subprocess.run(["modprobe", "vrf"], check=True)
    near4, far4 = "10.8.1.1", "10.8.1.2"
    with Namespace("vrf") as near, Namespace("peer") as far:
        near.ip("link add vrf0 type vrf table 10", "link set vrf0 up")
        link(near, far, ("red0", "red0"))
        near.ip("link set red0 master vrf0", f"address add {near4}/24 dev red0")
        far.ip(f"address add {far4}/24 dev red0")
        unlimited_peers(near, far)
        unbound, bound = near.udp(bind=("0.0.0.0", OPEN)), near.udp()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"vrf0")
        bound.bind(("0.0.0.0", DEVICE))
        place = Place(near, far, {os.fstat(s.fileno()).st_ino: s for s in (unbound, bound)})
        for accept, port, taken in ((0, OPEN, False), (0, DEVICE, True), (1, OPEN, True)):
            near.sysctl(ipv4__udp_l3mdev_accept=str(accept))
            status, answer = ask("-N", near.name, end(far4, SENDER), end(near4, port))
            got, refused = send(place, far, far4, near4, port)
            assert (bool(got), refused) == (taken, not taken)
            assert (status, answer["cause"]) == ((0, None) if taken else (3, "device"))
            assert answer["way"] == f"by red0, which has {near4}"


def test_without_permission_it_says_what_is_missing(place: Place) -> None:
    arguments = (end(FAR4, SENDER), end(NEAR4, OPEN))
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all",
         "udptrace", "check", "-N", place.near.name, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "no permission to enter" in line
