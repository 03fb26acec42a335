"""The local addresses and the links of the thread's network namespace, through rtnetlink."""

from __future__ import annotations

import errno
import socket
import struct
import sys

from tracer.system.netlink import NETLINK_ROUTE, NetlinkError, dump, parse_attributes

_RTM_GETLINK = 18
_RTM_GETADDR = 22
_IFLA_IFNAME = 3
_IFLA_MASTER = 10
_IFLA_LINKINFO = 18
_IFLA_INFO_KIND = 1
_IFLA_EXT_MASK = 29
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_IFA_ADDRESS = 1
_IFA_LOCAL = 2

_SIZES: dict[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 16}

_IFADDRMSG = struct.Struct("=BBBBI")
_IFINFOMSG = struct.Struct("=BxHiII")


def local_addresses() -> tuple[str, ...]:
    """Every IPv4 and IPv6 address of every interface, in the kernel's order, once each."""
    return tuple(dict.fromkeys(address for address, _ in addresses_on_links()))


def addresses_on_links() -> tuple[tuple[str, int], ...]:
    """Every address with the ifindex of its interface, in the kernel's order."""
    found = (parse_address(body) for body in dump(NETLINK_ROUTE, _RTM_GETADDR, bytes(8)))
    return tuple(filter(None, found))


def links() -> tuple[tuple[int, str], ...]:
    """(ifindex, name) of every interface."""
    return tuple(parse_link(body) for body in _link_messages())


def vrfs() -> dict[int, int]:
    """The VRF that each interface in one is in, both by ifindex."""
    masters, found = {}, set()
    for body in _link_messages():
        index, _ = parse_link(body)
        attributes = parse_attributes(body[_IFINFOMSG.size :])
        masters[index] = int.from_bytes(attributes.get(_IFLA_MASTER, b""), sys.byteorder)
        info = parse_attributes(attributes.get(_IFLA_LINKINFO, b""))
        if info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0") == b"vrf":
            found.add(index)
    return {index: master for index, master in masters.items() if master in found}


def _link_messages() -> list[bytes]:
    request = _IFINFOMSG.pack(0, 0, 0, 0, 0)
    request += struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    return dump(NETLINK_ROUTE, _RTM_GETLINK, request)


def parse_address(body: bytes) -> tuple[str, int] | None:
    """(address, ifindex) of a RTM_NEWADDR message, None for another family. Raises NetlinkError."""
    if len(body) < _IFADDRMSG.size:
        raise NetlinkError(errno.EBADMSG, "address message cut off")
    family, *_, index = _IFADDRMSG.unpack_from(body)
    size = _SIZES.get(family)
    if size is None:
        return None
    attributes = parse_attributes(body[_IFADDRMSG.size :])
    # On a point-to-point link IFA_ADDRESS is the other end, and IFA_LOCAL ours.
    raw = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    if len(raw) != size:
        raise NetlinkError(errno.EBADMSG, "address of a wrong length")
    return socket.inet_ntop(family, raw), index


def parse_link(body: bytes) -> tuple[int, str]:
    """(ifindex, name) of a RTM_NEWLINK message. Raises NetlinkError."""
    if len(body) < _IFINFOMSG.size:
        raise NetlinkError(errno.EBADMSG, "link message cut off")
    index: int = _IFINFOMSG.unpack_from(body)[2]
    name = parse_attributes(body[_IFINFOMSG.size :]).get(_IFLA_IFNAME, b"")
    return index, name.rstrip(b"\0").decode("utf-8", "backslashreplace")
