"""What the codes of an ICMP "destination unreachable" are called, and which are final."""

from __future__ import annotations

from tracer.events import Family

# Names of the codes of "destination unreachable": ICMP type 3 (include/uapi/linux/icmp.h) and
# ICMPv6 type 1 (include/uapi/linux/icmpv6.h).
_ICMP4 = (
    "net-unreachable",
    "host-unreachable",
    "protocol-unreachable",
    "port-unreachable",
    "fragmentation-needed",
    "source-route-failed",
    "net-unknown",
    "host-unknown",
    "host-isolated",
    "net-prohibited",
    "host-prohibited",
    "net-unreachable-for-tos",
    "host-unreachable-for-tos",
    "admin-prohibited",
    "precedence-violation",
    "precedence-cutoff",
)
_ICMP6 = (
    "no-route",
    "admin-prohibited",
    "beyond-scope",
    "address-unreachable",
    "port-unreachable",
    "policy-failed",
    "reject-route",
)


def icmp_name(family: Family, kind: int, code: int) -> str | None:
    """The name of an unreachable's code, or of ICMPv6's request for smaller datagrams.

    None for what is neither or has no name.
    """
    unreachable, names = (3, _ICMP4) if family == "ipv4" else (1, _ICMP6)
    if (family, kind) == ("ipv6", 2):
        return "packet-too-big"
    return names[code] if kind == unreachable and 0 <= code < len(names) else None


# Codes that say nothing final: icmp_err_convert (net/ipv4/icmp.c) and tab_unreach
# (net/ipv6/icmp.c), where `fatal` is 0.
_SOFT4 = frozenset((0, 1, 4, 5, 11, 12))
_SOFT6 = frozenset((0, 2, 3))


def is_soft(family: Family, code: int) -> bool:
    """Whether an unreachable of this code is told to sockets with IP_RECVERR only."""
    return code in (_SOFT4 if family == "ipv4" else _SOFT6)
