"""Another machine, played by the test behind a TUN device: it answers with the ICMP asked for."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import select
import struct
import subprocess

from tests.kernel.live import DEADLINE_S
from tests.kernel.net import Namespace, ip
from tracer.system.netns import Netns, in_netns

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
UDP, ICMP, ICMPV6 = 17, 1, 58


class Elsewhere:
    """The far end of a namespace's ``tun0``; what is sent there arrives at `refuse`."""

    def __init__(self, near: Namespace, *addresses: str) -> None:
        subprocess.run(["modprobe", "tun"], check=True)
        netns = Netns(near.inum, near.name, f"/run/netns/{near.name}")
        self._fd = in_netns(netns, _open_tun)
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            ip("-n", near.name, "address", "add", address, "dev", "tun0", *nodad)
        ip("-n", near.name, "link", "set", "tun0", "up")

    def close(self) -> None:
        """Take the device away."""
        os.close(self._fd)

    def send(self, packet: bytes) -> None:
        """Have an IP packet arrive, whatever it is."""
        os.write(self._fd, packet)

    def datagram(self) -> bytes:
        """The next UDP datagram that arrives, with its IP header; waits for it."""
        while True:
            readable, _, _ = select.select([self._fd], [], [], DEADLINE_S)
            assert readable, "no datagram left for the other machine"
            packet = os.read(self._fd, 65536)
            if packet[9 if packet[0] >> 4 == 4 else 6] == UDP:
                return packet

    def refuse(self, kind: int, code: int, sender: str | None = None, mtu: int = 0) -> bytes:
        """Answer the next datagram with an ICMP, from its destination or another address."""
        quoted = self.datagram()
        os.write(self._fd, answer(quoted, kind, code, sender, mtu))
        return quoted


def answer(quoted: bytes, kind: int, code: int, sender: str | None, mtu: int) -> bytes:
    """An IP packet with an ICMP about a packet (RFC 792, RFC 4443)."""
    is_v4 = quoted[0] >> 4 == 4
    source, asked = (quoted[12:16], quoted[16:20]) if is_v4 else (quoted[8:24], quoted[24:40])
    if sender is not None:
        asked = ipaddress.ip_address(sender).packed
    body = struct.pack("!BBHI", kind, code, 0, mtu) + quoted[:512]
    if is_v4:
        body = body[:2] + checksum(body) + body[4:]
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, ICMP, 0, asked, source
        )
        return header[:10] + checksum(header) + header[12:] + body
    pseudo = asked + source + struct.pack("!II", len(body), ICMPV6)
    body = body[:2] + checksum(pseudo + body) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), ICMPV6, 64) + asked + source + body


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def _open_tun() -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", b"tun0", IFF_TUN | IFF_NO_PI))
    return fd
