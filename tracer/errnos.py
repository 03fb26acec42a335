"""Linux's errno names: a recording is also read where the platform's numbers differ."""

from __future__ import annotations

from tracer.events import ReceivedIcmp

# include/uapi/asm-generic/errno-base.h and errno.h: those that a UDP socket can be told, and those
# that its bind() and connect() return.
_NAMES = {
    1: "EPERM",
    2: "ENOENT",
    3: "ESRCH",
    4: "EINTR",
    5: "EIO",
    9: "EBADF",
    11: "EAGAIN",
    12: "ENOMEM",
    13: "EACCES",
    14: "EFAULT",
    16: "EBUSY",
    19: "ENODEV",
    22: "EINVAL",
    32: "EPIPE",
    64: "ENONET",
    71: "EPROTO",
    88: "ENOTSOCK",
    89: "EDESTADDRREQ",
    90: "EMSGSIZE",
    92: "ENOPROTOOPT",
    93: "EPROTONOSUPPORT",
    95: "EOPNOTSUPP",
    97: "EAFNOSUPPORT",
    98: "EADDRINUSE",
    99: "EADDRNOTAVAIL",
    100: "ENETDOWN",
    101: "ENETUNREACH",
    103: "ECONNABORTED",
    104: "ECONNRESET",
    105: "ENOBUFS",
    106: "EISCONN",
    107: "ENOTCONN",
    110: "ETIMEDOUT",
    111: "ECONNREFUSED",
    112: "EHOSTDOWN",
    113: "EHOSTUNREACH",
}


# What UDP makes of an ICMP: icmp_err_convert (net/ipv4/icmp.c) and udp_err, by type, or by code
# where it is an unreachable.
_ICMP4 = {11: 113, 12: 71}
_UNREACHABLE4: tuple[int, ...] = (
    101,
    113,
    92,
    111,
    90,
    95,
    101,
    112,
    64,
    101,
    113,
    101,
    113,
    113,
    113,
    113,
)
# tab_unreach and icmpv6_err_convert (net/ipv6/icmp.c).
_ICMP6 = {2: 90, 3: 113, 4: 71}
_UNREACHABLE6: tuple[int, ...] = (101, 13, 113, 113, 111, 13, 13)


def icmp_errno(icmp: ReceivedIcmp) -> int:
    """The errno a socket is told for an ICMP; 0 for one that tells none."""
    if ":" in icmp.sender:
        kind, codes, others = 1, _UNREACHABLE6, _ICMP6
    else:
        kind, codes, others = 3, _UNREACHABLE4, _ICMP4
    if icmp.type != kind:
        return others.get(icmp.type, 0)
    return codes[icmp.code] if icmp.code < len(codes) else 71


def errno_name(number: int) -> str:
    """``ECONNREFUSED`` for 111; ``errno 200`` for one without a name here."""
    return _NAMES.get(number, f"errno {number}")
