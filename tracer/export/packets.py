"""The datagram that missed and the ICMP about it, as packets: as recorded, or rebuilt.

Where the recording has a datagram's first bytes, they are the packet. Else only its ends and its
length are known; what more an IP header says is filled in with usual values, and such a packet is
said to be reconstructed, as every ICMP is.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from tracer.events import Datagram
from tracer.incident import Icmp

_UDP, _ICMP, _ICMP6 = 17, 1, 58
_TTL = 64
_UDP_HEADER = 8
_IP6_HEADER = 40

# What an ICMP quotes at most: it has 576 bytes in all over IPv4 (net/ipv4/icmp.c:__icmp_send), and
# IPv6's least MTU (net/ipv6/icmp.c:icmp6_send), with its headers.
_QUOTED = {4: 576 - 20 - 8, 6: 1280 - 40 - 8}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NoPacket(ValueError):
    """What is recorded makes no packet: an address or a number that cannot be."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that begins with its IP header; ``length`` is what it had on the wire."""

    data: bytes
    length: int
    recorded: bool = False
    """The bytes are those that were seen, not reconstructed."""


def datagram_packet(datagram: Datagram, recorded: str | None = None) -> Packet:
    """The datagram's first bytes, recorded in hex, or headers made for it. Raises NoPacket."""
    return _recorded(datagram, recorded or "") or _rebuilt(datagram)


def _recorded(datagram: Datagram, recorded: str) -> Packet | None:
    """The bytes recorded; None for none, and for what is not this datagram."""
    src, dst = _ends(datagram)
    try:
        data = bytes.fromhex(recorded)
    except ValueError:
        return None
    if not data or data[0] >> 4 != src.version:
        return None
    addresses, at = (data[12:20], 2) if src.version == 4 else (data[8:40], 4)
    if addresses != src.packed + dst.packed:
        return None
    length = int.from_bytes(data[at : at + 2], "big") + (0 if src.version == 4 else _IP6_HEADER)
    return Packet(data, max(length, len(data)), recorded=True)


def _rebuilt(datagram: Datagram) -> Packet:
    """The headers of the datagram; its payload is not known. Raises NoPacket.

    The UDP checksum needs the payload: 0, "none", for IPv4; IPv6 has no such value, so it is right
    for a payload of zeros.
    """
    src, dst = _ends(datagram)
    try:
        udp = struct.pack("!HHHH", datagram.sport, datagram.dport, datagram.length, 0)
        if src.version == 6:
            checksum = _checksum(_pseudo(src, dst, datagram.length, _UDP) + udp) or 0xFFFF
            udp = udp[:6] + checksum.to_bytes(2, "big")
        header = _ip(src, dst, _UDP, datagram.length)
    except struct.error:
        raise NoPacket("a port or a length that cannot be") from None
    if datagram.length < _UDP_HEADER:
        raise NoPacket("shorter than its header")
    return Packet(header + udp, len(header) + datagram.length)


def icmp_packet(datagram: Datagram, icmp: Icmp, recorded: str | None = None) -> Packet:
    """The ICMP about it, which quotes what is known of it, as far as an ICMP may. Raises NoPacket.

    It comes from who sent it, where that is recorded, else from the datagram's destination.
    """
    src, dst = _ends(datagram)
    sender = _address(icmp.sender) if icmp.sender else dst
    if sender.version != src.version:
        raise NoPacket("an ICMP of another family")
    quoted = datagram_packet(datagram, recorded).data[: _QUOTED[src.version]]
    try:
        head = struct.pack("!BBHI", icmp.type, icmp.code, 0, 0)
    except struct.error:
        raise NoPacket("an ICMP type or code that cannot be") from None
    body = head + quoted
    protocol = _ICMP
    covered = body
    if src.version == 6:
        protocol = _ICMP6
        covered = _pseudo(sender, src, len(body), protocol) + body
    body = body[:2] + _checksum(covered).to_bytes(2, "big") + body[4:]
    data = _ip(sender, src, protocol, len(body)) + body
    return Packet(data, len(data))


def _ends(datagram: Datagram) -> tuple[Address, Address]:
    src, dst = _address(datagram.src), _address(datagram.dst)
    if src.version != dst.version:
        raise NoPacket("ends of two families")
    return src, dst


def _address(text: str) -> Address:
    try:
        # A scope is of this machine, and in no packet.
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise NoPacket("an address that is none") from None


def _ip(src: Address, dst: Address, protocol: int, length: int) -> bytes:
    """An IP header for a payload of so many bytes."""
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, protocol, _TTL) + src.packed + dst.packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, _TTL, protocol, 0)
    checksum = _checksum(head + src.packed + dst.packed)
    return head[:10] + checksum.to_bytes(2, "big") + src.packed + dst.packed


def _pseudo(src: Address, dst: Address, length: int, protocol: int) -> bytes:
    """The IPv6 header that a checksum covers (RFC 8200, 8.1)."""
    return src.packed + dst.packed + struct.pack("!IHBB", length, 0, 0, protocol)


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
