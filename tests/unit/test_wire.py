"""The decoder: records become events, and what is not a record is refused."""

from __future__ import annotations

import ctypes
import socket

import pytest

from tracer import wire
from tracer.events import (
    Call,
    Close,
    Created,
    IcmpReceived,
    Miss,
    ReceivedIcmp,
    SockError,
    falls_short,
)
from tracer.wire import Decoder, WireError

NETNS = 4026531840


def decoder() -> Decoder:
    return Decoder(lambda address: "udp_rcv" if address else None, salt=b"test")


def header(record: ctypes.Structure, kind: int, time_ns: int = 1000, cpu: int = 1) -> bytes:
    """Fill in the record's header; returns its bytes."""
    record.header = wire.WireHeader(kind, wire.WIRE_VERSION, ctypes.sizeof(record), cpu, time_ns)
    return bytes(record)


def wire_socket(**fields: int) -> wire.WireSocket:
    """An IPv4 socket 172.17.0.2:45609 -> 10.0.0.1:56789."""
    values = {
        "sock": 0xFFFF888000001000,
        "inode": 77,
        "netns": NETNS,
        "family": socket.AF_INET,
        "state": 1,
        "lport": 45609,
        "pport": 56789,
        **fields,
    }
    raw = wire.WireSocket(**values)
    raw.local4[:] = socket.inet_aton("172.17.0.2")
    raw.peer4[:] = socket.inet_aton("10.0.0.1")
    return raw


def wire_miss(walk: int, **fields: int) -> wire.WireMiss:
    raw = wire.WireMiss(
        walk=walk, family=socket.AF_INET, sport=56789, dport=45609, netns=NETNS, **fields
    )
    raw.saddr[:4] = socket.inet_aton("172.17.0.1")
    raw.daddr[:4] = socket.inet_aton("172.17.0.2")
    raw.ifname[:] = b"eth0".ljust(16, b"\0")
    return raw


def test_an_error_keeps_the_icmp_it_came_from() -> None:
    raw = wire.WireErrorRecord(error=111, icmp_family=socket.AF_INET, icmp_type=3, icmp_code=3)
    raw.icmp_from[:4] = socket.inet_aton("10.0.0.1")
    raw.socket = wire_socket()
    event = decoder().decode(header(raw, wire.ERROR))
    assert isinstance(event, SockError)
    assert (event.errno, event.icmp) == (111, ReceivedIcmp("10.0.0.1", 3, 3))
    raw.icmp_family = 0
    event = decoder().decode(header(raw, wire.ERROR))
    assert isinstance(event, SockError)
    assert event.icmp is None


@pytest.mark.parametrize(
    ("family", "kind", "code", "errno"),
    [
        (socket.AF_INET, 3, 3, 111),
        (socket.AF_INET, 3, 13, 113),
        (socket.AF_INET, 3, 16, 71),
        (socket.AF_INET, 11, 1, 113),
        (socket.AF_INET, 8, 0, 0),
        (socket.AF_INET6, 1, 4, 111),
        (socket.AF_INET6, 1, 1, 13),
        (socket.AF_INET6, 1, 7, 71),
        (socket.AF_INET6, 2, 0, 90),
    ],
)
def test_an_error_that_was_read_at_once_is_what_its_icmp_stands_for(
    family: int, kind: int, code: int, errno: int
) -> None:
    raw = wire.WireErrorRecord(error=0, icmp_family=family, icmp_type=kind, icmp_code=code)
    raw.socket = wire_socket()
    event = decoder().decode(header(raw, wire.ERROR))
    assert isinstance(event, SockError)
    assert event.errno == errno


def packet(data: bytes, owner: int, cpu: int = 1) -> bytes:
    """A record of a datagram's first bytes, as long as they are."""
    raw = wire.WirePacket(owner=owner)
    whole = header(raw, wire.PACKET, cpu=cpu)[: wire.WirePacket.data.offset] + data
    raw = wire.WirePacket.from_buffer_copy(whole.ljust(ctypes.sizeof(wire.WirePacket)))
    raw.header.size = len(whole)
    return bytes(raw)[: len(whole)] + b"\0" * (-len(whole) % 8)


def test_a_datagrams_first_bytes_come_with_their_miss_and_no_other() -> None:
    events = decoder()
    assert events.decode(packet(b"\x45\x00" * 14, owner=1000)) is None
    assert events.decode(packet(b"\x45\x01" * 14, owner=1000, cpu=0)) is None
    assert events.decode(packet(b"", owner=3000)) is None
    misses = [
        events.decode(header(wire_miss(5), wire.MISS, time_ns=time)) for time in (1000, 2000, 3000)
    ]
    kept = [miss.packet for miss in misses if isinstance(miss, Miss)]
    assert kept == ["4500" * 14, None, ""]


def test_packets_whose_miss_was_lost_do_not_pile_up() -> None:
    events = decoder()
    for owner in range(5000):
        events.decode(packet(b"E", owner))
    assert len(events._packets) <= 1024


def test_an_icmp_received_has_its_sender_and_the_datagram_quoted() -> None:
    raw = wire.WireReceived(
        family=socket.AF_INET6, sport=56789, dport=53, netns=NETNS, icmp_type=1, icmp_code=4,
        ifindex=2, since_ns=900, total=3, length=12,
    )  # fmt: skip
    for field, address in (("icmp_from", "fd00::9"), ("saddr", "fd00::1"), ("daddr", "fd00::2")):
        getattr(raw, field)[:] = socket.inet_pton(socket.AF_INET6, address)
    raw.ifname[:] = b"eth0".ljust(16, b"\0")
    event = decoder().decode(header(raw, wire.RECEIVED))
    assert isinstance(event, IcmpReceived)
    assert event.icmp == ReceivedIcmp("fd00::9", 1, 4)
    d = event.datagram
    assert (d.src, d.sport, d.dst, d.dport, d.ifname) == ("fd00::1", 56789, "fd00::2", 53, "eth0")
    assert (event.netns, event.since, event.total) == (NETNS, 900, 3)


def test_a_connect_keeps_what_was_before_requested_and_after() -> None:
    raw = wire.WireCall(requested_family=socket.AF_INET, requested_port=56789, error=-101)
    raw.requested_addr[:4] = socket.inet_aton("10.0.0.1")
    raw.task.comm[:] = b"nc".ljust(16, b"\0")
    raw.before, raw.after = wire_socket(state=7), wire_socket()
    event = decoder().decode(header(raw, wire.CONNECT))
    assert isinstance(event, Call)
    assert (event.op, event.requested, event.error) == ("connect", ("10.0.0.1", 56789), 101)
    assert (event.before.state, event.after.state, event.task.comm) == (7, 1, "nc")


def test_an_unspecified_request_has_no_address() -> None:
    raw = wire.WireCall(before=wire_socket(), after=wire_socket())
    event = decoder().decode(header(raw, wire.AUTOBIND))
    assert isinstance(event, Call)
    assert event.requested is None


def test_a_process_name_that_is_not_text_is_kept_readable() -> None:
    raw = wire.WireClose(socket=wire_socket())
    raw.task.comm[:] = b"\xff\x1b[31m\0junk".ljust(16, b"\0")
    event = decoder().decode(header(raw, wire.CLOSE))
    assert isinstance(event, Close)
    assert event.task.comm == "\\xff\x1b[31m"


def test_an_error_names_the_socket_told() -> None:
    event = decoder().decode(header(wire.WireErrorRecord(error=111, socket=wire_socket()), 5))
    assert isinstance(event, SockError)
    assert (event.errno, event.socket.local, event.socket.peer) == (111, "172.17.0.2", "10.0.0.1")


def sockets(walk: int, *inodes: int, cpu: int = 1) -> bytes:
    """A record of so many of a walk's sockets, which ends with the last of them."""
    raw = wire.WireCandidates(walk=walk)
    for number, inode in enumerate(inodes):
        raw.sockets[number] = wire_socket(inode=inode)
    size = wire.WireCandidates.sockets.offset + len(inodes) * ctypes.sizeof(wire.WireSocket)
    header(raw, wire.CANDIDATES, cpu=cpu)
    raw.header.size = size
    return bytes(raw)[:size]


def test_a_walks_sockets_come_with_their_miss_and_no_other() -> None:
    events = decoder()
    assert events.decode(sockets(5, 77, 76)) is None
    assert events.decode(sockets(5, 75)) is None
    assert events.decode(sockets(5, 78, cpu=0)) is None
    flags = wire.MISS_WALKED | wire.MISS_PROVEN | wire.MISS_LOOKUPS
    miss = events.decode(header(wire_miss(5, flags=flags, passes=2, caller=1), wire.MISS))
    assert isinstance(miss, Miss)
    assert miss.walk is not None
    assert [c.inode for c in miss.walk.candidates] == [77, 76, 75]
    assert (miss.proven, miss.passes, miss.caller) == (True, 2, "udp_rcv")
    assert (miss.datagram.src, miss.datagram.dport, miss.datagram.ifname) == (
        "172.17.0.1",
        45609,
        "eth0",
    )


def test_without_the_lookup_probe_passes_are_unknown_not_zero() -> None:
    miss = decoder().decode(header(wire_miss(5, passes=0), wire.MISS))
    assert isinstance(miss, Miss)
    assert (miss.passes, miss.walk, miss.proven) == (None, None, False)


def test_a_walk_that_the_budget_did_not_allow_falls_short() -> None:
    flags = wire.MISS_PROVEN | wire.MISS_WALKED | wire.MISS_TRUNCATED | wire.MISS_SKIPPED
    miss = decoder().decode(header(wire_miss(5, flags=flags, chain=9), wire.MISS))
    assert isinstance(miss, Miss)
    assert miss.walk is not None
    assert (miss.walk.skipped, miss.walk.visited, miss.walk.chain) == (True, 0, 9)
    assert falls_short(miss)


def test_walks_whose_miss_was_lost_do_not_pile_up() -> None:
    events = decoder()
    for walk in range(5000):
        events.decode(sockets(walk, 77))
    assert len(events._pending) <= 1024


def test_a_sockets_flags() -> None:
    flags = wire.REUSEPORT | wire.PORT_LOCK
    event = decoder().decode(header(wire.WireClose(socket=wire_socket(flags=flags)), wire.CLOSE))
    assert isinstance(event, Close)
    assert (event.socket.reuseport, event.socket.port_lock) == (True, True)
    assert event.socket.addr_lock is False


def test_identities_tell_no_kernel_address_and_differ_between_traces() -> None:
    record = header(wire.WireClose(socket=wire_socket()), wire.CLOSE)
    one, two = Decoder(lambda _: None).decode(record), Decoder(lambda _: None).decode(record)
    assert isinstance(one, Close)
    assert isinstance(two, Close)
    assert one.socket.sock != two.socket.sock
    assert "888000001000" not in one.socket.sock


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x07\x01",
        header(wire.WireClose(), wire.CLOSE)[:-9],
        header(wire.WireClose(), wire.CONNECT),
        header(wire.WireClose(), 99),
        b"\x04\x63" + header(wire.WireClose(), wire.CLOSE)[2:],
        header(wire.WirePacket(), wire.PACKET)[:-9],
        header(wire.WireCandidates(), wire.CANDIDATES)[:-9],
        sockets(5, 77)[:-8],
        bytes(wire.WireHeader(wire.PACKET, wire.WIRE_VERSION, 16)),
    ],
    ids=[
        "empty",
        "short",
        "truncated",
        "wrong size",
        "unknown kind",
        "other version",
        "cut",
        "sockets cut",
        "socket cut",
        "none",
    ],
)
def test_what_is_not_a_record_is_refused(record: bytes) -> None:
    with pytest.raises(WireError):
        decoder().decode(record)


def test_a_socket_made() -> None:
    raw = wire.WireClose(socket=wire_socket(lport=0, pport=0, state=7))
    event = decoder().decode(header(raw, wire.CREATED))
    assert isinstance(event, Created)
    assert (event.socket.inode, event.socket.lport) == (77, 0)


@pytest.mark.parametrize(
    ("kind", "flags", "within"),
    [
        (wire.AUTOBIND, wire.TASK_CONNECTING, "connect"),
        (wire.AUTOBIND, 0, None),
        (wire.DISCONNECT, wire.TASK_CONNECTING, "connect"),
        # A connect() is no part of itself.
        (wire.CONNECT, wire.TASK_CONNECTING, None),
    ],
)
def test_what_a_connect_made_the_kernel_do(kind: int, flags: int, within: str | None) -> None:
    raw = wire.WireCall(before=wire_socket(), after=wire_socket())
    raw.task.flags = flags
    call = decoder().decode(header(raw, kind))
    assert isinstance(call, Call)
    assert call.within == within
