"""The ranking of candidates: one order for all, whatever the order they come in."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.build import gram, sock
from tracer.events import Datagram, SocketView
from tracer.match import distance, measure, nearest, takes_part
from tracer.shortlist import Shortlist

FOUR = gram("10.0.0.9:4000", "10.0.0.1:53")
SIX = gram("[fd00::9]:4000", "[fd00::1]:53")
datagrams = st.sampled_from((FOUR, SIX))

_LOCAL4 = ("0.0.0.0", "10.0.0.1", "10.0.0.2", "127.0.0.1")
_LOCAL6 = ("::", "fd00::1", "fd00::2", "::ffff:10.0.0.1", "::ffff:10.0.0.2")
_PEER4 = ("10.0.0.9:4000", "10.0.0.9:4001", "10.0.0.8:4000")
_PEER6 = ("[fd00::9]:4000", "[fd00::9]:4001", "[fd00::8]:4000", "[::ffff:10.0.0.9]:4001")


@st.composite
def crowds(draw: st.DrawFn) -> list[SocketView]:
    """Different sockets on one port; a few have no inode."""
    inodes = draw(st.lists(st.integers(1, 60), unique=True, max_size=40))
    return [_socket(draw, inode) for inode in inodes]


def _socket(draw: st.DrawFn, inode: int) -> SocketView:
    six = draw(st.booleans())
    local = draw(st.sampled_from(_LOCAL6 if six else _LOCAL4))
    view = sock(
        f"[{local}]:53" if six else f"{local}:53",
        draw(st.none() | st.sampled_from(_PEER6 if six else _PEER4)),
        inode=inode,
        cookie=inode,
        v6only=draw(st.booleans()) if six else None,
        device=draw(st.sampled_from((0, 0, 2, 5))),
    )
    return replace(view, inode=0) if draw(st.integers(0, 9)) == 0 else view


@given(crowds(), datagrams, st.randoms(use_true_random=False))
def test_the_nearest_does_not_depend_on_the_order(
    crowd: list[SocketView], datagram: Datagram, rng: Random
) -> None:
    found = nearest(crowd, datagram)
    rng.shuffle(crowd)
    assert nearest(crowd, datagram) == found


@given(crowds(), datagrams)
def test_no_two_sockets_are_equally_near(crowd: list[SocketView], datagram: Datagram) -> None:
    measured = [measure(view, datagram) for view in crowd if takes_part(view, datagram)]
    assert len({distance(item, datagram.family) for item in measured}) == len(measured)


@given(crowds(), datagrams, st.integers(0, 40))
def test_the_nearest_of_parts_nearests_is_the_nearest_of_all(
    crowd: list[SocketView], datagram: Datagram, cut: int
) -> None:
    parts = [nearest(crowd[:cut], datagram), nearest(crowd[cut:], datagram)]
    best = nearest([part.socket for part in parts if part is not None], datagram)
    assert best == nearest(crowd, datagram)


@given(crowds(), datagrams)
def test_a_socket_that_takes_the_datagram_is_the_nearest(
    crowd: list[SocketView], datagram: Datagram
) -> None:
    measured = [measure(view, datagram) for view in crowd if takes_part(view, datagram)]
    found = nearest(crowd, datagram)
    fewest = min((len(item.mismatch) for item in measured), default=None)
    assert (found and len(found.mismatch)) == fewest


@given(crowds(), datagrams, st.integers(1, 10), st.randoms(use_true_random=False))
def test_a_shortlist_is_the_head_of_the_ranking(
    crowd: list[SocketView], datagram: Datagram, limit: int, rng: Random
) -> None:
    first, second = Shortlist(datagram, limit), Shortlist(datagram, limit)
    for view in crowd:
        first.offer(view)
    rng.shuffle(crowd)
    for view in crowd:
        second.offer(view)
        second.offer(view)
    assert first.sockets() == second.sockets()
    part = [view for view in crowd if takes_part(view, datagram)]
    ranked = sorted(part, key=lambda view: distance(measure(view, datagram), datagram.family))
    assert first.sockets()[: len(part)] == tuple(ranked[:limit])
    assert len(first.sockets()) == min(limit, len(crowd))


def test_a_shortlist_holds_no_more_than_twice_its_limit() -> None:
    shortlist = Shortlist(FOUR, 4)
    for inode in range(1, 10_000):
        shortlist.offer(sock("10.0.0.2:53", inode=inode))
        assert len(shortlist._kept) <= 8
    assert [view.inode for view in shortlist.sockets()] == [1, 2, 3, 4]


def test_a_shortlist_knows_whether_a_vrfs_datagrams_are_taken_by_all() -> None:
    inside = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=9, sdif=2)
    unbound = sock("0.0.0.0:53", "10.0.0.9:1", inode=2)
    bound = sock("0.0.0.0:53", inode=1, device=5)
    for accept, first in ((False, bound), (True, unbound)):
        shortlist = Shortlist(inside, 1, l3mdev_accept=accept)
        shortlist.offer(unbound)
        shortlist.offer(bound)
        assert shortlist.sockets() == (first,)


def test_a_shortlist_leaves_out_what_is_known() -> None:
    shortlist = Shortlist(FOUR, 4, known=(1, 0))
    nameless = sock("10.0.0.2:53", inode=0)
    for view in (sock("10.0.0.2:53", inode=1), sock("10.0.0.2:53", inode=2), nameless):
        shortlist.offer(view)
    assert [view.inode for view in shortlist.sockets()] == [0, 2]
