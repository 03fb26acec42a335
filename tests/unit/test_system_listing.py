"""A look at this machine's sockets, with and without what it may lack."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from tracer import wire
from tracer.render.socket_columns import COLUMNS
from tracer.sockets.model import Listed, Need
from tracer.system import door, listing
from tracer.system.listing import NO_FACTS, ReadFacts, take_listing
from tracer.system.netns import Forbidden, Netns

OWN = os.stat("/proc/self/ns/net").st_ino
HERE = {OWN: "-N here"}

_SO_COOKIE = 57


@pytest.fixture
def mine() -> Iterator[socket.socket]:
    """A socket of this process on an address of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def found(sock: socket.socket, read: ReadFacts | None) -> tuple[Listed, list[str]]:
    """The socket of this process in a listing, and what was missing."""
    taken = take_listing(HERE, read)
    (one,) = (one for one in taken.sockets if one.view.inode == inode_of(sock))
    return one, taken.problems


def test_without_the_iterator(mine: socket.socket) -> None:
    one, problems = found(mine, None)
    assert one.socket.local == f"127.0.0.1:{mine.getsockname()[1]}"
    assert (os.getpid(), mine.fileno()) in [(p.pid, p.fd) for p in one.socket.processes]
    assert all(p.start is not None for p in one.socket.processes)
    assert (one.socket.port_origin, one.kernel, one.detail.rx) == (None, None, 0)
    assert problems == []  # who calls has said that there is no iterator


def test_with_the_iterators_facts(mine: socket.socket) -> None:
    record = wire.WireListed(
        kind=wire.LISTED_SOCKET,
        flags=wire.ADDR_LOCK,
        lport=mine.getsockname()[1],
        cookie=int.from_bytes(mine.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder),
    )
    one, problems = found(mine, lambda: bytes(record))
    assert (one.socket.port_origin, one.socket.address_bound) == ("kernel-chosen", True)
    assert problems == []


def test_what_is_not_needed_is_not_looked_up(
    mine: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "OwnerFinder", lambda: pytest.fail("descriptors are read"))
    monkeypatch.setattr(listing, "members", lambda netns: pytest.fail("processes are looked at"))
    taken = take_listing(HERE, None, Need.NONE)
    (one,) = (one for one in taken.sockets if one.view.inode == inode_of(mine))
    assert (one.local, one.state) == (f"127.0.0.1:{mine.getsockname()[1]}", "UNCONN")
    assert (one.processes, one.detail.drops) == ((), None)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_needs_no_more_than_it_says(mine: socket.socket, column: str) -> None:
    """Its text, and its place, with only that looked up are those with everything."""
    record = wire.WireListed(
        kind=wire.LISTED_SOCKET,
        flags=wire.ADDR_LOCK | wire.REUSEPORT,
        lport=mine.getsockname()[1],
        inode=inode_of(mine),
        cookie=int.from_bytes(mine.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder),
    )
    shown = COLUMNS[column]
    read = (lambda: bytes(record)) if Need.FACTS in shown.needs else None
    lean, whole = (
        next(one for one in taken.sockets if one.view.inode == inode_of(mine))
        for taken in (
            take_listing(HERE, read, shown.needs),
            take_listing(HERE, lambda: bytes(record)),
        )
    )
    key = shown.key or shown.text
    assert (shown.text(lean), key(lean)) == (shown.text(whole), key(whole))


def refused() -> bytes:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize(
    ("read", "why"),
    [(refused, "Operation not permitted"), (lambda: b"x", "no whole records")],
)
def test_facts_that_cannot_be_had(mine: socket.socket, read: ReadFacts, why: str) -> None:
    one, (problem,) = found(mine, read)
    assert one.socket.port_origin is None
    assert problem.startswith(f"{NO_FACTS} are not known: ")
    assert why in problem
    assert problem.endswith("; in 1 network namespace")


def test_a_namespace_that_may_not_be_entered(
    mine: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(netns: Netns, function: Callable[[], object]) -> object:
        raise Forbidden(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(door, "in_netns", refuse)
    one, problems = found(mine, lambda: pytest.fail("the iterator was read elsewhere"))
    assert (one.socket.port_origin, one.detail.memory) == (None, None)
    no_diag, no_facts = problems
    assert no_diag.startswith("no permission to enter; /proc/net/udp was read instead")
    assert no_facts == f"{NO_FACTS} are not known: no permission to enter; in 1 network namespace"


def test_a_target_that_is_gone() -> None:
    taken = take_listing({1: "-N gone"}, None)
    assert (taken.sockets, taken.unread) == ([], 1)
    assert taken.problems == ["-N gone: this network namespace is gone"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Forbidden(errno.EPERM, "Operation not permitted"), "no permission to enter"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_a_namespace_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, error: OSError, why: str
) -> None:
    def fail(netns: Netns, read: Callable[..., object]) -> object:
        raise error

    monkeypatch.setattr(listing, "look", fail)
    taken = take_listing(HERE, None)
    assert (taken.sockets, taken.unread) == ([], 1)
    (problem,) = taken.problems
    assert problem == f"no socket is known: {why}; in 1 network namespace"
