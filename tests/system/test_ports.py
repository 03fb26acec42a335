"""A port of a namespace, read now: of the namespace meant, or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.system.conftest import Box
from tracer.events import SocketView
from tracer.system import ports
from tracer.system.netlink import NetlinkError
from tracer.system.netns import in_netns, netns_cookie
from tracer.system.ports import sockets_on_port

GONE = "the network namespace is gone"


def _read(box: Box, cookie: int) -> tuple[list[SocketView], str | None]:
    found: list[SocketView] = []
    why = sockets_on_port(box.netns.inum, cookie, 7530, (), found.append)
    return found, why


def test_a_port_of_another_namespace(box: Box) -> None:
    box.socket().bind(("127.0.0.1", 7530))
    cookie = in_netns(box.netns, netns_cookie)
    found, why = _read(box, cookie)
    assert why is None
    assert [(view.local, view.netns, view.netns_cookie) for view in found] == [
        ("127.0.0.1", box.netns.inum, cookie)
    ]


def test_another_namespace_under_the_same_number_is_not_asked(box: Box) -> None:
    box.socket().bind(("127.0.0.1", 7530))
    cookie = in_netns(box.netns, netns_cookie)
    if cookie:
        assert _read(box, cookie + 1) == ([], GONE)
    # Where the kernel tells no cookie, none is compared.
    assert len(_read(box, 0)[0]) == 1


def test_a_namespace_that_is_gone() -> None:
    assert sockets_on_port(1, 0, 7530, (), lambda view: None) == GONE


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (NetlinkError(errno.ENOENT, "No such file or directory"), "udp_diag: No such file"),
        (TimeoutError("timed out"), "udp_diag: timed out"),
        (True, "the sockets changed while they were read"),
        (False, None),
    ],
)
def test_why_it_is_not_all(
    box: Box, monkeypatch: pytest.MonkeyPatch, outcome: OSError | bool, why: str | None
) -> None:
    def read_port(port: int, inum: int, cookie: int, take: Callable[[SocketView], None]) -> bool:
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    monkeypatch.setattr(ports, "read_port", read_port)
    said = _read(box, 0)[1]
    assert said == why if why is None else (said or "").startswith(why)
