"""The self-test's own traffic: made where it is allowed, and told from everybody else's."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from tests.unit import build
from tracer.errors import StartError
from tracer.kernel import provocation
from tracer.kernel.provocation import Provocation, provoke

REFUSED = PermissionError(errno.EPERM, "Operation not permitted")


def refuse() -> Provocation:
    raise REFUSED


def test_where_no_private_namespace_may_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provocation, "_in_thread", refuse)
    monkeypatch.setattr(provocation, "_in_child", refuse)
    made = provoke()
    assert not made.private
    assert made.netns == os.stat("/proc/self/ns/net").st_ino
    assert made.refusers["ipv4"][0] == made.senders["ipv4"][0] == "127.0.0.1"
    assert len(made.inodes) == 2 * len(made.senders)


def test_where_a_user_namespace_may_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provocation, "_in_thread", refuse)
    played = Provocation(7, True, {"ipv4": ("127.0.0.1", 1)}, {"ipv4": ("127.0.0.1", 2)}, [8, 9])
    monkeypatch.setattr(provocation, "_enter_private", lambda flags: None)
    monkeypatch.setattr(provocation, "_traffic", lambda: played)
    assert provoke() == played


def test_a_child_that_may_not_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_user_namespace(flags: int) -> None:
        raise OSError(errno.ENOSPC, "unshare: No space left on device")

    monkeypatch.setattr(provocation, "_enter_private", no_user_namespace)
    with pytest.raises(OSError, match="No space left") as caught:
        provocation._in_child()
    assert caught.value.errno == errno.ENOSPC


def test_a_child_that_dies_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provocation, "_enter_private", lambda flags: os._exit(1))
    with pytest.raises(OSError, match="the child ended"):
        provocation._in_child()


def test_where_it_can_be_made_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(made: Provocation, *rest: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(provocation, "_in_private", refuse)
    monkeypatch.setattr(provocation, "_miss", unreachable)
    with pytest.raises(StartError, match=r"not permitted.*unreachable.*: ip link set lo up"):
        provoke()


OURS = build.sock("127.0.0.1:4000", "127.0.0.1:5000", inode=77)
SHARED = Provocation(
    OURS.netns,
    False,
    {"ipv4": ("127.0.0.1", 5000)},
    {"ipv4": ("127.0.0.1", 4000)},
    [77, 78],
)


@pytest.mark.parametrize("private", [True, False])
def test_its_own_events(private: bool) -> None:
    made = replace(SHARED, private=private)
    assert made.made(build.miss(1, build.gram("127.0.0.1:4000", "127.0.0.1:5000")))
    assert made.made(build.close(1, OURS))
    assert made.made(build.connect(1, OURS, OURS))


def test_other_events_of_a_namespace_that_is_not_private() -> None:
    for other in (
        build.miss(1, build.gram("127.0.0.1:4001", "127.0.0.1:5000")),
        build.close(1, replace(OURS, inode=79)),
        build.close(1, replace(OURS, netns=OURS.netns + 1)),
        build.counters(1),
    ):
        assert not SHARED.made(other)


def test_a_private_namespace_has_no_other_events() -> None:
    assert replace(SHARED, private=True).made(build.close(1, replace(OURS, inode=79)))
