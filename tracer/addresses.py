"""Addresses as text: wildcards, IPv4-mapped IPv6, loopback, and how an endpoint is printed."""

from __future__ import annotations

ANY4 = "0.0.0.0"
ANY6 = "::"
MAPPED = "::ffff:"

# What an IPv4 lookup finds in skc_rcv_saddr of a native IPv6 socket that is tied to an address
# (LOOPBACK4_IPV6, include/net/ipv6.h; set by net/ipv6/datagram.c:ip6_datagram_dst_update).
LOOPBACK4_IPV6 = "127.0.0.6"


def is_any(address: str) -> bool:
    """Whether a socket with this address takes any: 0.0.0.0, ::, ::ffff:0.0.0.0."""
    return unmapped(address) in (ANY4, ANY6)


def unmapped(address: str) -> str:
    """The IPv4 address inside an IPv4-mapped IPv6 one, else the address itself."""
    if address.startswith(MAPPED) and "." in address:
        return address[len(MAPPED) :]
    return address


def is_loopback(address: str) -> bool:
    """Whether it never leaves its network namespace: 127.0.0.0/8 and ::1."""
    return unmapped(address).startswith("127.") or address == "::1"


def endpoint(address: str, port: int) -> str:
    """``a.b.c.d:port`` or ``[v6]:port``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
