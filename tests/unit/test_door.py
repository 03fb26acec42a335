"""A namespace seen from inside, from outside, or not at all; who asks does not care."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tracer.events import SocketSeen
from tracer.system import door, snapshot
from tracer.system.door import Inside, Outside, View, look
from tracer.system.local_ports import read_local_ports
from tracer.system.netns import Forbidden, Netns, list_netns
from tracer.system.processes import NoOwners
from tracer.system.snapshot import netns_info, take_snapshot

OWN = os.stat("/proc/self/ns/net").st_ino
HERE = Netns(OWN, "here", "/proc/self/ns/net", os.getpid())
UNPEOPLED = Netns(OWN + 1, "unpeopled", "/run/netns/unpeopled")


def refuse(netns: Netns, function: Callable[[], object]) -> object:
    raise Forbidden(errno.EPERM, "Operation not permitted")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """No namespace may be entered."""
    monkeypatch.setattr(door, "in_netns", refuse)


def kind(view: View) -> type[View]:
    return type(view)


def test_from_inside() -> None:
    assert look(HERE, kind) is Inside


def test_from_outside(forbidden: None) -> None:
    assert look(HERE, kind) is Outside


def test_without_a_process_there_is_no_way(forbidden: None) -> None:
    with pytest.raises(Forbidden):
        look(UNPEOPLED, kind)


def test_a_process_that_became_another_namespaces(forbidden: None) -> None:
    with pytest.raises(FileNotFoundError):
        look(Netns(OWN + 1, None, "/proc/self/ns/net", os.getpid()), kind)


def test_both_tell_the_same_but_for_what_is_said_to_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = look(HERE, partial(netns_info, HERE))
    monkeypatch.setattr(door, "in_netns", refuse)
    outside = look(HERE, partial(netns_info, HERE))
    assert set(outside.addresses) == set(inside.addresses)
    assert set(outside.links) <= set(inside.links)
    assert (outside.inum, outside.name, outside.cookie) == (OWN, "here", 0)


def test_counters_from_outside(forbidden: None) -> None:
    names = [name for name, _ in look(HERE, lambda view: view.counters())]
    assert "UdpNoPorts" in names


def test_a_snapshot_from_outside_says_so_once(
    forbidden: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {n: Netns(n, None, f"/run/netns/{n}") for n in (7, 8)}
    monkeypatch.setattr(snapshot, "list_netns", lambda: {OWN: list_netns()[OWN], **others})
    taken = take_snapshot(NoOwners())
    outside, unseen = taken.problems
    assert outside.startswith("no permission to enter; /proc/net/udp was read instead in 1 network")
    assert unseen == (
        "the sockets of 2 network namespaces without a process are not known:"
        " no permission to enter"
    )
    assert {e.source for e in taken.events if isinstance(e, SocketSeen)} <= {"proc"}


def test_the_ports_to_choose_from_are_read_from_inside_alone() -> None:
    ports = Inside().run(read_local_ports)
    assert ports is not None
    assert 0 < ports[0] < ports[1] < 65536
    assert Outside(Path("/proc/self/net")).run(read_local_ports) is None
