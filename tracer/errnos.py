"""Linux's errno names: a recording is also read where the platform's numbers differ."""

from __future__ import annotations

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


def errno_name(number: int) -> str:
    """``ECONNREFUSED`` for 111; ``errno 200`` for one without a name here."""
    return _NAMES.get(number, f"errno {number}")
