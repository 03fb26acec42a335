"""A namespace's addresses and links as /proc/PID/net tells them, also where it makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.system.procnet import (
    links,
    local_addresses,
    parse_fib_trie,
    parse_groups,
    parse_if_inet6,
)

FIB_TRIE = b"""Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.0
           /16 link UNICAST
        |-- 172.17.0.2
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
Local:
  +-- 127.0.0.0/8 2 0 2
     |-- 127.0.0.0
        /8 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 172.17.0.2
        /32 host LOCAL
"""

IF_INET6 = b"""00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000542dc7fffe0e0a11 1f 40 20 80     eth0
"""

IGMP = b"""Idx\tDevice    : Count Querier\tGroup    Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
12\tlong-name-0123:     1      V3
\t\t\t\t01000010     1 0:00000000\t\t0
"""

DEV_MCAST = b"31   eth0            1     0     333300000001\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A /proc/PID/net."""
    files = {"fib_trie": FIB_TRIE, "if_inet6": IF_INET6, "igmp": IGMP, "dev_mcast": DEV_MCAST}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    return tmp_path


def test_addresses(directory: Path) -> None:
    found = local_addresses(directory)
    assert found == ("172.17.0.2", "127.0.0.1", "::1", "fe80::542d:c7ff:fe0e:a11")


def test_links(directory: Path) -> None:
    assert links(directory) == ((1, "lo"), (12, "long-name-0123"), (31, "eth0"))


def test_a_kernel_without_ipv6(directory: Path) -> None:
    (directory / "if_inet6").unlink()
    assert local_addresses(directory) == ("172.17.0.2", "127.0.0.1")
    (directory / "dev_mcast").unlink()
    assert links(directory) == ((1, "lo"), (12, "long-name-0123"))


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        local_addresses(tmp_path)


@pytest.mark.parametrize(
    "text", [b"", b"\xff\n", b"|--\n/32 host LOCAL", b"|-- 1.2.3.4.5\n/32 host LOCAL", b"|-- ::"]
)
def test_tries_that_make_no_sense(text: bytes) -> None:
    assert list(parse_fib_trie(text)) == []


@pytest.mark.parametrize("text", [b"", b"zz 01 80 10 80 lo\n", b"0001 01 80 10 80 lo\n", b"00\n"])
def test_ipv6_addresses_that_make_no_sense(text: bytes) -> None:
    assert list(parse_if_inet6(text)) == []


@pytest.mark.parametrize("text", [b"", b"7\n", b"x eth0\n", b"7x eth0\n"])
def test_groups_that_make_no_sense(text: bytes) -> None:
    assert list(parse_groups(text)) == []


def test_a_name_that_is_no_text() -> None:
    assert list(parse_groups(b"3\tb\xe9:\n")) == [(3, "b\\xe9")]
