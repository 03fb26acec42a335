"""The addresses and links of a network namespace as /proc/PID/net tells them, without entering it.

That tells less than rtnetlink: of the links only those that take part in IP or in multicast.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def local_addresses(directory: Path) -> tuple[str, ...]:
    """The local IPv4 and IPv6 addresses, once each. Raises OSError."""
    found = [*parse_fib_trie((directory / "fib_trie").read_bytes())]
    found += [address for address, _ in parse_if_inet6(_optional(directory / "if_inet6"))]
    return tuple(dict.fromkeys(found))


def links(directory: Path) -> tuple[tuple[int, str], ...]:
    """(ifindex, name) of the interfaces that can be seen."""
    found = {link for _, link in parse_if_inet6(_optional(directory / "if_inet6"))}
    for name in ("igmp", "igmp6", "dev_mcast"):
        found.update(parse_groups(_optional(directory / name)))
    return tuple(sorted(found))


def parse_fib_trie(text: bytes) -> Iterator[str]:
    """The addresses that are local, each as often as a table has it (net/ipv4/fib_trie.c)."""
    address = ""
    for line in text.decode("ascii", "replace").splitlines():
        fields = line.split()
        if fields[:1] == ["|--"]:
            address = fields[-1]
        elif fields == ["/32", "host", "LOCAL"]:
            with suppress(OSError):
                yield socket.inet_ntop(socket.AF_INET, socket.inet_aton(address))


def parse_if_inet6(text: bytes) -> Iterator[tuple[str, tuple[int, str]]]:
    """Each address with its (ifindex, name); lines that make no sense are left out."""
    for line in text.splitlines():
        fields = line.split()
        with suppress(ValueError, IndexError):
            raw = bytes.fromhex(fields[0].decode("ascii"))
            yield socket.inet_ntop(socket.AF_INET6, raw), (int(fields[1], 16), _name(fields[5]))


def parse_groups(text: bytes) -> Iterator[tuple[int, str]]:
    """(ifindex, name) of each line of igmp, igmp6 or dev_mcast that begins with an interface."""
    for line in text.splitlines():
        fields = line.split()
        # The groups of igmp stand below their interface, after some white space.
        if len(fields) > 1 and line[:1].isdigit() and fields[0].isdigit():
            yield int(fields[0]), _name(fields[1].rstrip(b":"))


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _optional(path: Path) -> bytes:
    """A file that is not there without IPv6; empty then."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
