"""The socket table: identity, history, merging of sources, closing, bounds."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import BOX, at, bind, close, connect, error, owners, sock, task
from tracer.events import SocketView
from tracer.socktable import Ends, SocketRecord, SocketTable, ends_of

WINDOW = 60_000_000_000
OPEN = sock("0.0.0.0:53", inode=7)
TIED = sock("10.0.0.1:53", "10.0.0.9:4000", inode=7)
LATER = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7)


def table(limit: int = 100, closed: int = 100) -> SocketTable:
    return SocketTable(limit, closed, WINDOW)


def known(sockets: SocketTable, view: SocketView) -> SocketRecord:
    record = sockets.record(view)
    assert record is not None
    return record


# Identity


def test_a_socket_is_its_inode_in_its_namespace() -> None:
    sockets = table()
    sockets.observe(OPEN, at(1))
    sockets.observe(TIED, at(2))
    sockets.observe(replace(OPEN, netns=BOX, sock="other"), at(3))
    assert len(sockets) == 2
    assert known(sockets, OPEN).view == TIED


def test_without_an_inode_the_struct_sock_tells() -> None:
    sockets = table()
    sockets.called(bind(1, OPEN))
    bare = replace(TIED, inode=0)
    assert known(sockets, bare).bound is not None
    stranger = replace(TIED, inode=0, sock="elsewhere")
    assert sockets.record(stranger) is None
    sockets.observe(stranger, at(2))
    assert len(sockets) == 2


def test_a_struct_sock_is_not_the_same_socket_in_another_namespace() -> None:
    sockets = table()
    sockets.observe(OPEN, at(1))
    assert sockets.record(replace(OPEN, inode=0, netns=BOX)) is None


def test_without_inode_and_struct_sock_the_cookie_or_the_ends_tell() -> None:
    sockets = table()
    bare = replace(OPEN, inode=0, sock="")
    sockets.observe(replace(bare, cookie=5), at(1))
    sockets.observe(replace(bare, cookie=6), at(1))
    sockets.observe(bare, at(1))
    sockets.observe(bare, at(2))
    assert len(sockets) == 3


def test_a_reused_struct_sock_ends_the_socket_before() -> None:
    sockets = table()
    sockets.observe(OPEN, at(1))
    sockets.observe(replace(sock("0.0.0.0:54", inode=8), sock=OPEN.sock), at(2))
    assert sockets.record(OPEN) is None
    assert sockets.on_port(OPEN.netns, 53) == []
    assert len(sockets) == 1


def test_a_socket_seen_before_it_had_an_inode_keeps_its_history() -> None:
    sockets = table()
    early = replace(OPEN, inode=0)
    sockets.called(replace(bind(1, early), after=early))
    sockets.observe(OPEN, at(2))
    assert len(sockets) == 1
    assert known(sockets, OPEN).bound is not None


# Merging


def test_a_source_that_tells_less_does_not_unsay() -> None:
    sockets = table()
    told = replace(
        sock("[::ffff:10.0.0.1]:53", inode=7),
        cookie=3,
        local4="10.0.0.1",
        peer4="0.0.0.0",
        v6only=False,
        addr_lock=True,
        port_lock=True,
        uid=5,
        reuseport=True,
    )
    sockets.observe(told, at(1))
    dump = replace(
        told,
        sock="",
        cookie=0,
        netns_cookie=0,
        local4=None,
        peer4=None,
        v6only=None,
        addr_lock=None,
        port_lock=None,
        uid=None,
        reuseport=None,
    )
    sockets.observe(dump, at(2))
    assert known(sockets, told).view == told


def test_what_an_ipv4_lookup_compares_is_not_kept_when_the_ends_change() -> None:
    sockets = table()
    sockets.observe(replace(sock("[::]:53", inode=7), local4="0.0.0.0"), at(1))
    tied = sock("[::ffff:10.0.0.1]:53", "[::ffff:10.0.0.9]:4000", inode=7)
    sockets.observe(tied, at(2))
    assert known(sockets, tied).view.local4 is None


def test_an_older_sighting_does_not_replace_a_newer_one() -> None:
    sockets = table()
    sockets.observe(TIED, at(5))
    sockets.observe(OPEN, at(4))
    assert known(sockets, OPEN).view == TIED


# History


def test_the_connect_that_made_a_four_tuple_is_found_after_the_next() -> None:
    sockets = table()
    sockets.called(connect(10, OPEN, TIED))
    sockets.called(connect(20, TIED, LATER))
    record = known(sockets, TIED)
    first, second = record.connect_for(TIED, at(15)), record.connect_for(LATER, at(25))
    assert first is not None
    assert second is not None
    assert (first.after, second.after) == (TIED, LATER)
    assert record.connect_for(TIED, at(25)) == first
    assert record.connect_for(OPEN, at(25)) is None


def test_a_connect_after_the_miss_did_not_make_what_was_there_before() -> None:
    sockets = table()
    sockets.called(connect(10, OPEN, TIED, by=task(1)))
    sockets.called(connect(20, LATER, TIED, by=task(2)))
    call = known(sockets, TIED).connect_for(TIED, at(15))
    assert call is not None
    assert call.task.pid == 1


def test_history_is_bounded() -> None:
    sockets = table()
    for n in range(50):
        sockets.called(connect(n, OPEN, TIED))
    # The latest four, and the last of the earlier ones to set something.
    assert len(known(sockets, TIED).connects) == 5


def test_holders_found_once_are_not_unsaid() -> None:
    sockets = table()
    sockets.owned(owners(1, 7, (1, "nc", 3)))
    sockets.owned(owners(2, 7))
    assert [holder.pid for holder in sockets.holders(7)] == [1]
    sockets.owned(owners(3, 7, (2, "nc", 3)))
    assert [holder.pid for holder in sockets.holders(7)] == [2]
    sockets.owned(owners(4, 0, (9, "x", 1)))
    assert sockets.holders(0) == ()


# Closing


def test_a_socket_on_its_way_out_is_not_a_new_one() -> None:
    sockets = table()
    sockets.called(bind(1, OPEN))
    sockets.close(close(10, OPEN))
    sockets.observe(OPEN, at(10.1))
    sockets.told(error(10.2, OPEN))
    assert len(sockets) == 0
    assert known(sockets, OPEN).closed is not None


def test_a_second_close_changes_nothing() -> None:
    sockets = table()
    sockets.close(close(10, OPEN, by=task(1)))
    sockets.close(close(10.1, OPEN, by=task(2)))
    closed = known(sockets, OPEN).closed
    assert closed is not None
    assert closed.task.pid == 1


def test_a_struct_sock_in_use_again_without_an_inode_is_a_new_socket() -> None:
    sockets = table()
    sockets.close(close(10, OPEN))
    sockets.observe(replace(OPEN, inode=0), at(5000))
    assert len(sockets) == 1
    assert sockets.on_port(OPEN.netns, 53)[0].closed is None
    assert known(sockets, OPEN).closed is not None


def test_an_inode_in_use_again_is_a_new_socket_without_the_old_ones_history() -> None:
    sockets = table()
    sockets.called(bind(1, OPEN))
    sockets.close(close(10, OPEN))
    sockets.observe(OPEN, at(5000))
    record = known(sockets, OPEN)
    assert record.closed is None
    assert record.bound is None


def test_closed_sockets_are_found_within_the_window_only() -> None:
    sockets = table()
    sockets.close(close(10, OPEN))
    for ms, found in ((9, 0), (10, 1), (60_010, 1), (60_011, 0)):
        assert len(sockets.closed_on_port(OPEN.netns, 53, at(ms))) == found, ms


def test_closed_sockets_are_dropped_after_the_window() -> None:
    sockets = table()
    sockets.close(close(10, OPEN))
    sockets.close(close(70_000, sock("0.0.0.0:54", inode=8)))
    assert sockets.record(OPEN) is None
    assert sockets.forgotten == 0


# Finding


def test_where_sockets_are_found() -> None:
    sockets = table()
    for view in (OPEN, sock("10.0.0.1:53", "10.0.0.9:4000", inode=8), sock("0.0.0.0:0", inode=9)):
        sockets.observe(view, at(1))
    assert [r.view.inode for r in sockets.on_port(OPEN.netns, 53)] == [7, 8]
    assert [r.view.inode for r in sockets.unconnected(53, at(1))] == [7]
    assert [r.view.inode for r in sockets.connected(ends_of(TIED), at(1))] == [8]
    assert [r.view.inode for r in sockets.connected_from("10.0.0.1", 53, at(1))] == [8]
    assert sockets.unconnected(0, at(1)) == []


def test_a_socket_is_found_where_it_is_now_only() -> None:
    sockets = table()
    sockets.observe(OPEN, at(1))
    sockets.observe(TIED, at(2))
    assert sockets.unconnected(53, at(2)) == []
    assert len(sockets.connected(ends_of(TIED), at(2))) == 1


def test_a_disconnected_sockets_stale_peer_is_no_end() -> None:
    stale = replace(OPEN, peer="10.0.0.9")
    assert ends_of(stale) == Ends("0.0.0.0", 53, "", 0)


def test_what_is_forgotten_is_found_nowhere() -> None:
    sockets = table(limit=2, closed=1)
    for n in range(4):
        sockets.observe(sock("0.0.0.0:53", inode=20 + n), at(n))
    assert [r.view.inode for r in sockets.on_port(OPEN.netns, 53)] == [22, 23]
    sockets.close(close(10, sock("0.0.0.0:53", inode=22)))
    sockets.close(close(11, sock("0.0.0.0:53", inode=23)))
    assert sockets.forgotten == 3
    closed = sockets.closed_on_port(OPEN.netns, 53, at(12))
    assert [r.view.inode for r in closed] == [23]
