"""The kernel's counters of UDP and ICMP in one network namespace: /proc/net/snmp and snmp6."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ICMP = ("OutDestUnreachs", "OutRateLimitGlobal", "OutRateLimitHost")
_UDP = (
    "NoPorts",
    "InErrors",
    "RcvbufErrors",
    "SndbufErrors",
    "InCsumErrors",
    "IgnoredMulti",
    "MemErrors",
)

WANTED = (
    *(f"{group}{name}" for group in ("Udp", "Udp6") for name in _UDP),
    *(f"{group}{name}" for group in ("Icmp", "Icmp6") for name in _ICMP),
)
"""The counters that are kept, by nstat's names (net/ipv4/proc.c, net/ipv6/proc.c)."""

Values = tuple[tuple[str, int], ...]


# Not /proc/self: that is the main thread's namespace.
_OF_THREAD = Path("/proc/thread-self/net")


def read_counters(directory: Path = _OF_THREAD) -> Values:
    """The counters of a /proc/PID/net, by default of the namespace the thread is in.

    In the order of `WANTED`. One that this kernel does not have is left out, as are all of IPv6
    where that is off. Raises OSError.
    """
    text = (directory / "snmp").read_bytes()
    try:
        text6 = (directory / "snmp6").read_bytes()
    except FileNotFoundError:
        text6 = b""
    return parse_counters(text, text6)


def parse_counters(snmp: bytes, snmp6: bytes) -> Values:
    """The counters in the texts of the two files; lines that make no sense are left out."""
    found = dict(_pairs_of_lines(snmp)) | dict(_lines(snmp6))
    return tuple((name, found[name]) for name in WANTED if name in found)


def _pairs_of_lines(text: bytes) -> Iterator[tuple[str, int]]:
    """ "Udp: NoPorts InErrors", then "Udp: 1 2": the names and the values of one protocol."""
    lines = text.split(b"\n")
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if not names.startswith((b"Udp:", b"Icmp:")):
            continue
        group, found, counted = names.split()[0], names.split(), values.split()
        if len(found) == len(counted) and counted[0] == group:
            for name, value in zip(found[1:], counted[1:], strict=True):
                yield from _counter(group[:-1] + name, value)


def _lines(text: bytes) -> Iterator[tuple[str, int]]:
    """ "Udp6NoPorts   1", a line each."""
    for line in text.split(b"\n"):
        if line.startswith((b"Udp6", b"Icmp6Out")):
            fields = line.split()
            if len(fields) == 2:
                yield from _counter(*fields)


def _counter(name: bytes, value: bytes) -> Iterator[tuple[str, int]]:
    if value.isdigit() and len(value) <= 20:
        yield name.decode("ascii", "replace"), int(value)
