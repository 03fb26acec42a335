"""What dies without any ICMP, and misses that nobody is told of: counted, and nothing else is.

One trace of its own for all of it, since the counters show at its end; each scenario plays in
network namespaces of its own, and its lookalike beside it.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kernel.live import Json, Live, run, wait_for
from tests.kernel.net import Namespace, arrival, ip
from tracer.system.netns import Netns, in_netns
from tracer.system.snmp import read_counters

LO = "127.0.0.1"
SO_ATTACH_FILTER = 26
UDP_NO_CHECK6_RX = 102
BPF_RET = 0x06

KPROBES = Path("/sys/kernel/debug/kprobes/enabled")


@dataclass
class Played:
    """The trace when it has ended, and the namespaces by what was played in them."""

    trace: Live
    spaces: dict[str, Namespace] = field(default_factory=dict)
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    """What the kernel counted in each, as the test itself has read it."""

    def line(self, name: str) -> Json | None:
        """The namespace's line of kind "counters"."""
        found = [v for v in map(json.loads, self.trace.lines) if v["kind"] == "counters"]
        lines = [value for value in found if value["netns"]["inum"] == self.spaces[name].inum]
        assert len(lines) <= 1
        return lines[0] if lines else None

    def silent(self, name: str) -> dict[str, int]:
        """What died silently there, by the reasons that had any."""
        line = self.line(name)
        return {why: count for why, count in line["silent"].items() if count} if line else {}

    def told(self, name: str) -> list[str]:
        """What the summary on stderr says of the namespace, each line with its continuations."""
        lines = self.trace.stderr().replace("\n  ", " ").splitlines()
        return [line for line in lines if f"netns {self.spaces[name].name}" in line]


def _inside(space: Namespace) -> Netns:
    return Netns(space.inum, space.name, f"/run/netns/{space.name}")


def _counters(space: Namespace) -> dict[str, int]:
    return dict(in_netns(_inside(space), read_counters))


def _raw(space: Namespace, family: int) -> socket.socket:
    """A socket that sends whole IP packets."""
    return in_netns(
        _inside(space), lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    )


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet4(port: int, payload: bytes, *, spoil: int = 0) -> bytes:
    """From and to 127.0.0.1; the payload's length is even."""
    address = socket.inet_aton(LO)
    length = 8 + len(payload)
    pseudo = address * 2 + struct.pack("!HH", socket.IPPROTO_UDP, length)
    ports = struct.pack("!HHH", 6400, port, length)
    check = _checksum(pseudo + ports + bytes(2) + payload) ^ spoil
    ip_header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, socket.IPPROTO_UDP, 0)
    return ip_header + address * 2 + ports + struct.pack("!H", check) + payload


def _packet6_without_checksum(port: int, payload: bytes) -> bytes:
    """From and to ::1."""
    address = socket.inet_pton(socket.AF_INET6, "::1")
    length = 8 + len(payload)
    header = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, 64)
    return header + address * 2 + struct.pack("!HHHH", 6400, port, length, 0) + payload


def _receive_buffer(space: Namespace) -> None:
    full = space.udp()
    full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    full.bind((LO, 7400))
    sender = space.udp()
    for _ in range(40):
        sender.sendto(b"x" * 500, (LO, 7400))
    wait_for(lambda: _counters(space)["UdpRcvbufErrors"] >= 30, "a full receive buffer")


def _bad_checksum(space: Namespace) -> None:
    taker = space.udp(bind=(LO, 7401))
    taker6 = space.udp(family=socket.AF_INET6)
    taker6.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
    taker6.bind(("::1", 7402))
    with _raw(space, socket.AF_INET) as raw, _raw(space, socket.AF_INET6) as raw6:
        for _ in range(3):
            raw.sendto(_packet4(7401, b"spoilt", spoil=0x1111), (LO, 0))
        # Zero is no checksum, which IPv6 allows to sockets that asked for it only.
        for _ in range(2):
            raw6.sendto(_packet6_without_checksum(7403, b"nobody"), ("::1", 0))
        raw.sendto(_packet4(7401, b"intact"), (LO, 0))
        raw6.sendto(_packet6_without_checksum(7402, b"allowed"), ("::1", 0))
    assert arrival(taker) == b"intact"
    assert arrival(taker6) == b"allowed"


def _nobody_joined(space: Namespace) -> None:
    taker = space.udp(bind=("0.0.0.0", 7404))
    sender = space.udp()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for _ in range(4):
        sender.sendto(b"nobody", ("127.255.255.255", 7405))
    sender.sendto(b"taken", ("127.255.255.255", 7404))
    assert arrival(taker) == b"taken"


def _filtered(space: Namespace) -> None:
    taker = space.udp(bind=(LO, 7406))
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RET, 0, 0, 0))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(nothing))
    taker.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    sender = space.udp()
    for _ in range(2):
        sender.sendto(b"filtered", (LO, 7406))
    wait_for(lambda: _counters(space)["UdpInErrors"] == 2, "the filter's drops")


def _all_seen(space: Namespace, trace: Live) -> None:
    """Repeats, both families, and a REJECT, whose ICMP is the same and no lookup missed."""
    nft = ["ip", "netns", "exec", space.name, "nft"]
    subprocess.run([*nft, "add", "table", "ip", "t"], check=True)
    chain = "{ type filter hook input priority 0; }"
    subprocess.run([*nft, f"add chain ip t c {chain}"], check=True)
    subprocess.run([*nft, "add rule ip t c udp dport 7408 reject"], check=True)
    sender, sender6 = space.udp(bind=(LO, 6407)), space.udp(family=socket.AF_INET6)
    for _ in range(40):
        sender.sendto(b"nobody", (LO, 7407))
    for _ in range(4):
        sender.sendto(b"rejected", (LO, 7408))
    for _ in range(3):
        sender6.sendto(b"nobody", ("::1", 7409))
    trace.incident(dport=7407, count=40)
    trace.incident(dport=7408, count=4)
    trace.incident(dport=7409, count=3)


def _not_all_seen(space: Namespace, trace: Live) -> None:
    """Half of it while no kprobe of this machine works."""
    sender = space.udp(bind=(LO, 6410))
    sender.sendto(b"seen", (LO, 7410))
    trace.incident(dport=7410)
    KPROBES.write_text("0")
    try:
        for _ in range(3):
            sender.sendto(b"unseen", (LO, 7411))
        wait_for(lambda: _counters(space)["UdpNoPorts"] == 4, "misses")
    finally:
        KPROBES.write_text("1")
    sender.sendto(b"seen", (LO, 7412))
    trace.incident(dport=7412)


def _delivered(space: Namespace) -> None:
    taker = space.udp(bind=(LO, 7413))
    sender = space.udp(connect=(LO, 7413))
    for _ in range(3):
        sender.send(b"taken")
        assert arrival(taker) == b"taken"


def _limited(near: Namespace, far: Namespace, trace: Live) -> None:
    """A connected sender that goes on sending; six ICMPs at once, then one a second."""
    sender = near.udp(bind=("10.74.0.1", 6414), connect=("10.74.0.2", 7414))
    sent = 0
    while sent < 60:
        with suppress(ConnectionRefusedError):
            sender.send(b"nobody")
            sent += 1
    trace.incident(dport=7414, count=60)


def _joined_by_veth(near: Namespace, far: Namespace) -> None:
    ip("-n", near.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
       "netns", far.name)  # fmt: skip
    for space, address in ((near, "10.74.0.1/24"), (far, "10.74.0.2/24")):
        # A link's own IPv6 chatter would be the first to meet these counters.
        ip("-n", space.name, "link", "set", "eth0", "addrgenmode", "none")
        ip("-n", space.name, "address", "add", address, "dev", "eth0")
        ip("-n", space.name, "link", "set", "eth0", "up")


def _storm(space: Namespace, stack: ExitStack) -> None:
    """Misses without pause, from a process of its own, until the stack is left."""
    script = f"""
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    sender.sendto(b"nobody", ("{LO}", 7417))
"""
    inside = ["ip", "netns", "exec", space.name]
    sender = stack.enter_context(subprocess.Popen([*inside, "python3", "-c", script]))
    stack.callback(sender.kill)


def _is_read(trace: Live, space: Namespace) -> bool:
    """Whether the recording has a reading of the namespace's counters."""
    lines = trace.recording.read_bytes().splitlines()
    start = b'{"kind":"counters",'
    return any(
        line.startswith(start) and line.endswith(b"}") and json.loads(line)["inum"] == space.inum
        for line in lines
    )


BEFORE = (
    "full",
    "checksum",
    "multicast",
    "filter",
    "seen",
    "unseen",
    "quiet",
    "near",
    "far",
    "storm",
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All scenarios, one after the other, and then the end of the trace."""
    if not KPROBES.exists():
        subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    with ExitStack() as stack:
        spaces = {name: stack.enter_context(Namespace(f"si-{name}")) for name in BEFORE}
        _joined_by_veth(spaces["near"], spaces["far"])
        gone_stack = stack.enter_context(ExitStack())
        spaces["gone"] = gone_stack.enter_context(Namespace("si-gone"))
        trace = Live(tmp_path_factory.mktemp("silence"))
        stack.callback(trace.stop)
        played = Played(trace, spaces)
        before = {name: _counters(space) for name, space in spaces.items()}
        _receive_buffer(spaces["full"])
        _bad_checksum(spaces["checksum"])
        _nobody_joined(spaces["multicast"])
        _filtered(spaces["filter"])
        _delivered(spaces["quiet"])
        _all_seen(spaces["seen"], trace)
        _not_all_seen(spaces["unseen"], trace)
        _limited(spaces["near"], spaces["far"], trace)
        late = spaces["late"] = stack.enter_context(Namespace("si-late"))
        late.udp(connect=(LO, 7416))
        wait_for(lambda: _is_read(trace, late), "a reading of the new namespace")
        _nobody_joined(late)
        spaces["gone"].udp().sendto(b"nobody", (LO, 7415))
        trace.incident(dport=7415)
        gone_stack.close()
        for name, values in before.items():
            if name not in ("gone", "storm"):
                after = _counters(spaces[name])
                grown = {key: after[key] - value for key, value in values.items()}
                played.counted[name] = {key: value for key, value in grown.items() if value}
        with ExitStack() as while_it_ends:
            _storm(spaces["storm"], while_it_ends)
            trace.incident(dport=7417, count=100)
            trace.stop()
        yield played


def test_a_full_receive_buffer(played: Played) -> None:
    dropped = played.counted["full"]["UdpRcvbufErrors"]
    assert played.silent("full") == {"receive-buffer": dropped}
    line = played.line("full")
    assert line is not None
    assert line["final"] is True
    assert line["no_ports"] == {"kernel": 0, "traced": 0, "unseen": 0}
    (told,) = played.told("full")
    assert told.endswith(f"{dropped} datagrams died silently: {dropped} receive buffer full")


def test_checksums_and_the_missing_one_of_ipv6(played: Played) -> None:
    """The same sent intact, and without a checksum to a socket that allows it, were delivered."""
    assert played.silent("checksum") == {"checksum": 5}
    assert played.counted["checksum"]["Udp6InCsumErrors"] == 2


def test_broadcast_that_no_socket_took(played: Played) -> None:
    assert played.silent("multicast") == {"multicast": 4}


def test_what_a_sockets_filter_drops(played: Played) -> None:
    assert played.silent("filter") == {"other": 2}


def test_every_miss_was_seen_and_a_reject_is_none(played: Played) -> None:
    line = played.line("seen")
    assert line is not None
    assert line["no_ports"] == {"kernel": 43, "traced": 43, "unseen": 0}
    assert played.silent("seen") == {}
    assert played.told("seen") == []
    assert line["icmp"]["unreachables_sent"] == 47


def test_misses_while_the_counters_are_read_are_no_difference(played: Played) -> None:
    line = played.line("storm")
    assert line is not None
    assert line["no_ports"]["kernel"] >= 100
    assert line["no_ports"] == {
        "kernel": line["no_ports"]["kernel"],
        "traced": line["no_ports"]["kernel"],
        "unseen": 0,
    }
    assert played.told("storm") == []


def test_misses_that_were_not_seen_are_stated(played: Played) -> None:
    line = played.line("unseen")
    assert line is not None
    assert line["no_ports"] == {"kernel": 5, "traced": 2, "unseen": 3}
    (told,) = played.told("unseen")
    assert "the kernel counted 5 lookups without a socket, 2 were traced; 3 not" in told


def test_where_all_was_delivered_there_is_nothing_to_say(played: Played) -> None:
    assert played.counted["quiet"] == {}
    assert played.line("quiet") is None
    assert played.told("quiet") == []


def test_a_namespace_that_is_gone_says_so(played: Played) -> None:
    line = played.line("gone")
    assert line is not None
    assert (line["gone"], line["final"]) == (True, False)
    assert line["no_ports"] == {"kernel": None, "traced": 1, "unseen": 0}
    assert "gone before the end" in played.trace.stderr()


def test_a_namespace_that_came_later_is_counted_from_its_first_sight(played: Played) -> None:
    assert played.silent("late") == {"multicast": 4}


def test_misses_told_to_nobody_are_counted(played: Played) -> None:
    trace = played.trace
    assert trace.incident(dport=7407)["untold"] == 40  # its sender is not connected
    limited = trace.incident(dport=7414)
    sent = played.counted["far"]["IcmpOutDestUnreachs"]
    assert 6 <= sent < 60
    assert limited["count"] == 60
    assert limited["untold"] == 60 - sent
    assert limited["told"][0]["error"] == "ECONNREFUSED"
    end = json.loads(trace.lines[-1])
    assert end["untold"] == sum(incident["untold"] for incident in trace.incidents())


def test_a_replay_tells_the_same(played: Played) -> None:
    replayed = run("replay", "-f", "json", str(played.trace.recording))
    last = played.trace.stderr().index(" misses (")
    assert replayed.stderr[replayed.stderr.index(" misses (") :] == played.trace.stderr()[last:]
