"""Raw addresses of a dump -> the SocketView the linker compares with."""

from __future__ import annotations

import socket
from functools import lru_cache

from tracer.events import TCP_CLOSE, SocketView

_ANY4 = "0.0.0.0"
_MAPPED = bytes(10) + b"\xff\xff"

RawEndpoint = tuple[bytes, int]
"""An address in network byte order, 4 or 16 bytes, and a port."""


def socket_view(
    *,
    family: int,
    state: int,
    local: RawEndpoint,
    peer: RawEndpoint,
    netns: int,
    netns_cookie: int,
    inode: int,
    uid: int,
    cookie: int = 0,
    device: int = 0,
    v6only: bool | None = None,
) -> SocketView:
    """The view of a socket found in a dump. Raises ValueError on an address of a wrong length."""
    ipv6 = family == socket.AF_INET6
    # By position, which takes half the time: a dump may have 100,000 of them.
    return SocketView(
        "",
        inode,
        cookie,
        netns,
        netns_cookie,
        "ipv6" if ipv6 else "ipv4",
        state,
        _text(family, local[0]),
        local[1],
        _text(family, peer[0]),
        peer[1],
        _ipv4_part(local[0]) if ipv6 else None,
        _peer4(state, peer) if ipv6 else None,
        device,
        v6only,
        uid=uid,
    )


_text = lru_cache(maxsize=4096)(socket.inet_ntop)
"""An address as text: those of a dump are few."""


def _peer4(state: int, peer: RawEndpoint) -> str | None:
    """inet_daddr of an AF_INET6 socket, which connect(AF_UNSPEC) clears.

    skc_v6_daddr it leaves behind, and IPv6's compute_score goes on comparing it: the view keeps
    it as the peer's address, with port 0 (__udp_disconnect, net/ipv4/udp.c).
    """
    address, port = peer
    return _ANY4 if state == TCP_CLOSE and port == 0 else _ipv4_part(address)


def _ipv4_part(address: bytes) -> str | None:
    """What an IPv4 lookup compares of an IPv6 address; None where it cannot be told from it.

    A native IPv6 address has a stand-in there that belongs to nobody (127.0.0.6).
    """
    if not any(address):
        return _ANY4
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    return None
