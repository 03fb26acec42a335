"""Bytes from the ring buffer -> events: the Python mirror of bpf/events.h.

The layouts are checked member by member against the compiler's (tests/unit/test_wire_layout.py).
A record that is not what it says it is raises WireError: the program and this file disagree.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tracer.errnos import icmp_errno
from tracer.events import (
    LOSSES,
    Call,
    Close,
    Created,
    Datagram,
    Event,
    Family,
    Fate,
    IcmpFate,
    IcmpReceived,
    Miss,
    MissCount,
    ReceivedIcmp,
    SockError,
    SocketView,
    Task,
    Walk,
)

WIRE_VERSION = 6

CONNECT, BIND, AUTOBIND, CLOSE, ERROR, CANDIDATES, MISS, CONNECT6, FATE = range(1, 10)
DISCONNECT, RECEIVED, PACKET, CREATED = range(10, 14)
LISTED_SOCKET, LISTED_GROUP, LISTED_MORE = range(1, 4)
_CALLS = {
    CONNECT: "connect",
    CONNECT6: "connect",
    BIND: "bind",
    AUTOBIND: "autobind",
    DISCONNECT: "disconnect",
}

V6ONLY, ADDR_LOCK, PORT_LOCK, REUSEPORT, KERNEL = 1, 2, 4, 8, 16
MISS_PROVEN, MISS_WALKED, MISS_TRUNCATED, MISS_LOOKUPS, MISS_L3MDEV = 1, 2, 4, 8, 16
MISS_SKIPPED = 32
KEY_PROVEN, KEY_RECEIVED = 1, 2
TASK_CONNECTING = 1

# enum fate, in its order.
_FATES: tuple[Fate, ...] = ("sent", "rate-limited")

# The index of each counter in the `losses` map.
LOSS_NAMES = tuple(LOSSES)

# Walks and packets whose WIRE_MISS never came (lost) must not pile up.
_PENDING = 1024

PACKET_BYTES = 256
"""Bytes kept of a datagram at most, unless more are asked for."""

u8, u16, u32, u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class WireError(Exception):
    """A record does not have the layout its header claims."""


class WireHeader(ctypes.Structure):
    """struct wire_header."""

    _fields_ = (("kind", u8), ("version", u8), ("size", u16), ("cpu", u32), ("time_ns", u64))


class WireTask(ctypes.Structure):
    """struct wire_task."""

    _fields_ = (
        ("pid", u32),
        ("tid", u32),
        ("uid", u32),
        ("flags", u32),
        ("start_ns", u64),
        ("comm", u8 * 16),
    )


class WireSocket(ctypes.Structure):
    """struct wire_socket."""

    _fields_ = (
        ("sock", u64),
        ("cookie", u64),
        ("inode", u64),
        ("netns_cookie", u64),
        ("netns", u32),
        ("device", u32),
        ("local4", u8 * 4),
        ("peer4", u8 * 4),
        ("local6", u8 * 16),
        ("peer6", u8 * 16),
        ("uid", u32),
        ("lport", u16),
        ("pport", u16),
        ("family", u16),
        ("state", u8),
        ("flags", u8),
        ("pad", u32),
    )


class WireCall(ctypes.Structure):
    """struct wire_call."""

    _fields_ = (
        ("header", WireHeader),
        ("task", WireTask),
        ("entered_ns", u64),
        ("error", ctypes.c_int32),
        ("requested_family", u16),
        ("requested_port", u16),
        ("requested_addr", u8 * 16),
        ("before", WireSocket),
        ("after", WireSocket),
    )


class WireClose(ctypes.Structure):
    """struct wire_close."""

    _fields_ = (("header", WireHeader), ("task", WireTask), ("socket", WireSocket))


class WireErrorRecord(ctypes.Structure):
    """struct wire_error."""

    _fields_ = (
        ("header", WireHeader),
        ("error", ctypes.c_int32),
        ("icmp_family", u16),
        ("icmp_type", u8),
        ("icmp_code", u8),
        ("icmp_from", u8 * 16),
        ("socket", WireSocket),
    )


class WireReceived(ctypes.Structure):
    """struct wire_received."""

    _fields_ = (
        ("header", WireHeader),
        ("since_ns", u64),
        ("total", u64),
        ("netns_cookie", u64),
        ("netns", u32),
        ("ifindex", u32),
        ("icmp_from", u8 * 16),
        ("saddr", u8 * 16),
        ("daddr", u8 * 16),
        ("sport", u16),
        ("dport", u16),
        ("family", u16),
        ("icmp_type", u8),
        ("icmp_code", u8),
        ("length", u32),
        ("sdif", u32),
        ("ifname", u8 * 16),
    )


class WireCandidates(ctypes.Structure):
    """struct wire_candidates."""

    _fields_ = (("header", WireHeader), ("walk", u64), ("sockets", WireSocket * 16))


class WireMiss(ctypes.Structure):
    """struct wire_miss."""

    _fields_ = (
        ("header", WireHeader),
        ("walk", u64),
        ("since_ns", u64),
        ("total", u64),
        ("caller", u64),
        ("netns_cookie", u64),
        ("netns", u32),
        ("ifindex", u32),
        ("sdif", u32),
        ("length", u32),
        ("saddr", u8 * 16),
        ("daddr", u8 * 16),
        ("sport", u16),
        ("dport", u16),
        ("family", u16),
        ("icmp_type", u8),
        ("icmp_code", u8),
        ("flags", u32),
        ("passes", u32),
        ("visited", u32),
        ("matching", u32),
        ("lost", u32),
        ("chain", u32),
        ("ifname", u8 * 16),
    )


class WirePacket(ctypes.Structure):
    """struct wire_packet: as many of the bytes as the record's size says."""

    _fields_ = (("header", WireHeader), ("owner", u64), ("data", u8 * PACKET_BYTES))


class WireFate(ctypes.Structure):
    """struct wire_fate."""

    _fields_ = (("header", WireHeader), ("walk", u64), ("status", u32), ("pad", u32))


class MissKey(ctypes.Structure):
    """struct miss_key: the key of the `misses` map."""

    _fields_ = (
        ("netns_cookie", u64),
        ("netns", u32),
        ("ifindex", u32),
        ("sdif", u32),
        ("saddr", u8 * 16),
        ("daddr", u8 * 16),
        ("sport", u16),
        ("dport", u16),
        ("family", u16),
        ("icmp_type", u8),
        ("icmp_code", u8),
        ("flags", u32),
    )


class MissValue(ctypes.Structure):
    """struct miss_count: the value of the `misses` map."""

    _fields_ = (
        ("since_ns", u64),
        ("last_ns", u64),
        ("total", u64),
        ("streamed_ns", u64),
        ("sent", u64),
        ("limited", u64),
        ("generation", u32),
        ("length", u32),
        ("ifname", u8 * 16),
    )


# C name -> the class that mirrors it; what the layout test goes through.
class WireListed(ctypes.Structure):
    """struct wire_listed."""

    _fields_ = (
        ("kind", u8),
        ("flags", u8),
        ("lport", u16),
        ("pad", u32),
        ("cookie", u64),
        ("inode", u64),
        ("group", u64),
    )


class WireListedGroup(ctypes.Structure):
    """struct wire_listed_group."""

    _fields_ = (
        ("kind", u8),
        ("sources", u8),
        ("family", u16),
        ("ifindex", u32),
        ("address", u8 * 16),
        ("pad", u64),
    )


STRUCTS: dict[str, type[ctypes.Structure]] = {
    "wire_header": WireHeader,
    "wire_task": WireTask,
    "wire_socket": WireSocket,
    "wire_call": WireCall,
    "wire_close": WireClose,
    "wire_error": WireErrorRecord,
    "wire_received": WireReceived,
    "wire_candidates": WireCandidates,
    "wire_miss": WireMiss,
    "wire_packet": WirePacket,
    "wire_fate": WireFate,
    "miss_key": MissKey,
    "miss_count": MissValue,
    "wire_listed": WireListed,
    "wire_listed_group": WireListedGroup,
}

_RECORDS: dict[int, type[ctypes.Structure]] = {
    CONNECT: WireCall,
    CONNECT6: WireCall,
    BIND: WireCall,
    AUTOBIND: WireCall,
    DISCONNECT: WireCall,
    CLOSE: WireClose,
    CREATED: WireClose,
    ERROR: WireErrorRecord,
    MISS: WireMiss,
    FATE: WireFate,
    RECEIVED: WireReceived,
}


class Decoder:
    """Turns records into events; holds a miss's sockets and first bytes until it arrives itself.

    ``caller_name`` maps a return address to a kernel function's name, or None when it cannot.
    ``salt`` keys the opaque socket identities: a trace must not carry kernel addresses, and two
    traces' identities must not look comparable.
    """

    def __init__(self, caller_name: Callable[[int], str | None], salt: bytes | None = None) -> None:
        self._caller_name = caller_name
        self._salt = salt if salt is not None else os.urandom(16)
        self._pending: dict[tuple[int, int], list[SocketView]] = {}
        self._packets: dict[tuple[int, int], str] = {}

    def decode_all(self, records: Iterable[bytes]) -> list[Event]:
        """The events of these records, in order; see `decode`."""
        decoded = map(self.decode, records)
        return [event for event in decoded if event is not None]

    def decode(self, record: bytes) -> Event | None:
        """One record -> one event; None for what comes with its miss: a walk's socket, a packet.

        Raises WireError for a record of another version, an unknown kind or the wrong size.
        """
        if len(record) < ctypes.sizeof(WireHeader):
            raise WireError(f"record of {len(record)} bytes is shorter than its header")
        header = WireHeader.from_buffer_copy(record)
        if header.version == WIRE_VERSION and header.kind in (PACKET, CANDIDATES):
            hold = self._hold_packet if header.kind == PACKET else self._hold_sockets
            hold(header, record)
            return None
        layout = _RECORDS.get(header.kind)
        if header.version != WIRE_VERSION or layout is None:
            raise WireError(f"unknown record: kind {header.kind}, version {header.version}")
        # The ring buffer rounds lengths up to 8; the header has the exact one.
        if header.size != ctypes.sizeof(layout) or len(record) < header.size:
            raise WireError(f"record kind {header.kind} has {len(record)} bytes, not {header.size}")
        raw: Any = layout.from_buffer_copy(record)
        if header.kind in _CALLS:
            return self._call(raw)
        if header.kind == CLOSE:
            return Close(header.time_ns, _task(raw.task), self._socket(raw.socket))
        if header.kind == CREATED:
            return Created(header.time_ns, _task(raw.task), self._socket(raw.socket))
        if header.kind == ERROR:
            return self._error(raw)
        if header.kind == RECEIVED:
            return self._received(raw)
        if header.kind == FATE:
            return IcmpFate(header.time_ns, raw.walk, _FATES[raw.status])
        return self._miss(raw)

    def _error(self, raw: Any) -> SockError:
        icmp = _received_icmp(raw)
        errno = raw.error or (icmp_errno(icmp) if icmp else 0)
        return SockError(raw.header.time_ns, self._socket(raw.socket), errno, icmp)

    def _call(self, raw: Any) -> Call:
        return Call(
            time=raw.header.time_ns,
            op=_CALLS[raw.header.kind],  # type: ignore[arg-type]
            entered=raw.entered_ns,
            task=_task(raw.task),
            requested=_requested(raw),
            before=self._socket(raw.before),
            after=self._socket(raw.after),
            error=-raw.error if raw.error < 0 else 0,
            within="connect" if _is_inside_connect(raw) else None,
        )

    def _hold_packet(self, header: WireHeader, record: bytes) -> None:
        begin = WirePacket.data.offset
        if not begin <= header.size <= len(record):
            raise WireError(f"packet of {len(record)} bytes, not {header.size}")
        _make_room(self._packets)
        owner = int.from_bytes(record[WirePacket.owner.offset : begin], sys.byteorder)
        self._packets[header.cpu, owner] = record[begin : header.size].hex()

    def _packet(self, raw: Any) -> str | None:
        """The first bytes of the datagram a record is about."""
        return self._packets.pop((raw.header.cpu, raw.header.time_ns), None)

    def _received(self, raw: Any) -> IcmpReceived:
        return IcmpReceived(
            time=raw.header.time_ns,
            datagram=_datagram(raw, raw.length, raw.ifname),
            netns=raw.netns,
            netns_cookie=raw.netns_cookie,
            icmp=ReceivedIcmp(_address(raw.icmp_from, raw.family), raw.icmp_type, raw.icmp_code),
            since=raw.since_ns,
            total=raw.total,
            packet=self._packet(raw),
        )

    def _hold_sockets(self, header: WireHeader, record: bytes) -> None:
        begin, each = WireCandidates.sockets.offset, ctypes.sizeof(WireSocket)
        if not begin <= header.size <= len(record) or (header.size - begin) % each:
            raise WireError(f"sockets of {len(record)} bytes, not {header.size}")
        _make_room(self._pending)
        walk = int.from_bytes(record[WireCandidates.walk.offset : begin], sys.byteorder)
        sockets = self._pending.setdefault((header.cpu, walk), [])
        for at in range(begin, header.size, each):
            sockets.append(self._socket(WireSocket.from_buffer_copy(record, at)))

    def _miss(self, raw: Any) -> Miss:
        candidates = self._pending.pop((raw.header.cpu, raw.walk), [])
        walk = Walk(
            visited=raw.visited,
            matching=raw.matching,
            lost=raw.lost,
            truncated=bool(raw.flags & MISS_TRUNCATED),
            candidates=tuple(candidates),
            chain=raw.chain,
            skipped=bool(raw.flags & MISS_SKIPPED),
        )
        return Miss(
            time=raw.header.time_ns,
            datagram=_datagram(raw, raw.length, raw.ifname),
            netns=raw.netns,
            netns_cookie=raw.netns_cookie,
            icmp_type=raw.icmp_type,
            icmp_code=raw.icmp_code,
            proven=bool(raw.flags & MISS_PROVEN),
            passes=raw.passes if raw.flags & MISS_LOOKUPS else None,
            caller=self._caller_name(raw.caller),
            since=raw.since_ns,
            total=raw.total,
            walk=walk if raw.flags & MISS_WALKED else None,
            l3mdev_accept=bool(raw.flags & MISS_L3MDEV),
            packet=self._packet(raw),
        )

    def _socket(self, raw: Any) -> SocketView:
        is_v4 = raw.family == socket.AF_INET
        local4 = socket.inet_ntop(socket.AF_INET, bytes(raw.local4))
        peer4 = socket.inet_ntop(socket.AF_INET, bytes(raw.peer4))
        return SocketView(
            sock=self._identity(raw.sock),
            inode=raw.inode,
            cookie=raw.cookie,
            netns=raw.netns,
            netns_cookie=raw.netns_cookie,
            family="ipv4" if is_v4 else "ipv6",
            state=raw.state,
            local=local4 if is_v4 else socket.inet_ntop(socket.AF_INET6, bytes(raw.local6)),
            lport=raw.lport,
            peer=peer4 if is_v4 else socket.inet_ntop(socket.AF_INET6, bytes(raw.peer6)),
            pport=raw.pport,
            local4=None if is_v4 else local4,
            peer4=None if is_v4 else peer4,
            device=raw.device,
            v6only=None if is_v4 else bool(raw.flags & V6ONLY),
            addr_lock=bool(raw.flags & ADDR_LOCK),
            port_lock=bool(raw.flags & PORT_LOCK),
            uid=raw.uid,
            reuseport=bool(raw.flags & REUSEPORT),
        )

    def _identity(self, address: int) -> str:
        digest = hashlib.blake2b(struct.pack("<Q", address), digest_size=8, key=self._salt)
        return digest.hexdigest()


def decode_count(key: MissKey, value: MissValue, now: int) -> MissCount:
    """An entry of the `misses` map, read at ``now`` (monotonic ns) -> its event."""
    return MissCount(
        time=now,
        datagram=_datagram(key, value.length, value.ifname),
        netns=key.netns,
        netns_cookie=key.netns_cookie,
        icmp_type=key.icmp_type,
        icmp_code=key.icmp_code,
        since=value.since_ns,
        last=value.last_ns,
        total=value.total,
        sent=value.sent,
        limited=value.limited,
        received=bool(key.flags & KEY_RECEIVED),
        proven=bool(key.flags & KEY_PROVEN),
    )


def _make_room(pending: dict[Any, Any]) -> None:
    """Forget the oldest, once there are too many."""
    if len(pending) >= _PENDING:
        del pending[next(iter(pending))]


def _received_icmp(raw: Any) -> ReceivedIcmp | None:
    if not raw.icmp_family:
        return None
    return ReceivedIcmp(_address(raw.icmp_from, raw.icmp_family), raw.icmp_type, raw.icmp_code)


def _text(raw: Any) -> str:
    """A name from the kernel: bytes up to the first NUL, whatever a process put there."""
    return bytes(raw).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _address(raw: Any, family: int) -> str:
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, bytes(raw))
    return socket.inet_ntop(socket.AF_INET, bytes(raw)[:4])


def _task(raw: Any) -> Task:
    return Task(raw.pid, raw.tid, _text(raw.comm), raw.uid, raw.start_ns)


def _is_inside_connect(raw: Any) -> bool:
    """Whether connect() made the kernel call it; a connect() is no part of itself."""
    inside = raw.header.kind in (AUTOBIND, DISCONNECT)
    return inside and bool(raw.task.flags & TASK_CONNECTING)


def _requested(raw: Any) -> tuple[str, int] | None:
    if raw.requested_family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return _address(raw.requested_addr, raw.requested_family), raw.requested_port


def _datagram(raw: Any, length: int, ifname: Any) -> Datagram:
    family: Family = "ipv6" if raw.family == socket.AF_INET6 else "ipv4"
    return Datagram(
        family=family,
        src=_address(raw.saddr, raw.family),
        sport=raw.sport,
        dst=_address(raw.daddr, raw.family),
        dport=raw.dport,
        ifindex=raw.ifindex,
        sdif=raw.sdif,
        ifname=_text(ifname),
        length=length,
    )
