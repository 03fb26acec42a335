"""The linker's verdicts: each cause, beside the lookalike that must not have it."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    bind,
    close,
    connect,
    disconnect,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    owners,
    seen,
    sock,
    task,
    walk,
)
from tests.unit.linking import only, updates
from tests.unit.scenes import (
    CLIENT_TIED,
    SERVER,
    SERVER_OPEN,
    SERVER_TIED,
    TO_CLIENT,
    TO_SERVER,
    run_a,
    run_b,
)
from tracer.causes import Cause
from tracer.events import Event, Miss
from tracer.incident import Incident

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")


def fields(incident: Incident) -> list[str]:
    return [check.field.value for check in incident.mismatch]


def told_of(run: list[Event]) -> list[Incident]:
    return [update.incident for update in updates(run)]


def test_run_a_is_refused_by_the_servers_tied_socket() -> None:
    (incident,) = told_of(run_a())
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.socket is not None
    assert incident.socket.connect is not None
    assert incident.socket.connect.before.local == "0.0.0.0:56789"
    assert incident.socket.connect.after.local == "172.17.0.1:56789"
    assert incident.socket.connect.source == "route"
    assert incident.netns.name == "host"
    assert incident.origin is not None
    assert incident.origin.netns.name == "box"
    assert [(t.socket.processes[0].pid, t.error) for t in incident.told] == [(3471, "ECONNREFUSED")]


def test_run_b_is_refused_by_the_client_then_finds_the_server_closed() -> None:
    first, second = told_of(run_b())
    assert first.cause is Cause.REMOTE_ADDRESS
    assert first.netns.name == "box"
    assert first.socket is not None
    assert first.socket.processes[0].pid == 3471
    assert first.origin is not None
    assert first.origin.processes[0].pid == 3467
    assert second.cause is Cause.CLOSED
    assert second.socket is not None
    assert second.socket.closed is not None
    assert second.socket.closed.by.pid == 3467
    assert second.socket.closed.told == "ECONNREFUSED"
    assert fields(second) == ["local-address"]
    assert second.hints == ("even open it would have refused: tied to 172.17.0.1 by its connect()",)


def test_remote_port() -> None:
    incident = only(miss(10, DATAGRAM, sock("10.0.0.1:53", "10.0.0.9:69")))
    assert incident.cause is Cause.REMOTE_PORT
    assert [(m.socket, m.datagram) for m in incident.mismatch] == [("69", "4000")]


def test_all_failing_checks_are_named_the_kernels_first() -> None:
    incident = only(miss(10, DATAGRAM, sock("10.0.0.2:53", "10.0.0.8:69")))
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert fields(incident) == ["local-address", "remote-address", "remote-port"]


def test_the_nearest_of_several_is_named_and_the_others_counted() -> None:
    near = sock("10.0.0.1:53", "10.0.0.8:4000", inode=2)
    far = [sock("10.0.0.2:53", inode=1), sock("127.0.0.1:53", inode=3)]
    incident = only(miss(10, DATAGRAM, far[0], near, far[1]))
    assert incident.cause is Cause.REMOTE_ADDRESS
    assert incident.socket is not None
    assert incident.socket.inode == 2
    assert incident.candidates == 2


def test_device_and_its_name() -> None:
    links = ((1, "lo"), (2, "eth0"), (3, "eth1"))
    incident = only(
        namespace(1, HOST, "host", "10.0.0.1", links=links),
        miss(10, DATAGRAM, sock("0.0.0.0:53", device=3)),
    )
    assert incident.cause is Cause.DEVICE
    assert [(m.socket, m.datagram) for m in incident.mismatch] == [("eth1", "eth0")]
    assert incident.socket is not None
    assert incident.socket.device == "eth1"


def test_ipv6_only() -> None:
    incident = only(miss(10, DATAGRAM, sock("[::]:53", v6only=True)))
    assert incident.cause is Cause.IPV6_ONLY


def test_ipv6() -> None:
    datagram = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")
    incident = only(miss(10, datagram, sock("[2001:db8::2]:53"), code=4))
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.icmp.name == "port-unreachable"


def test_an_ipv4_socket_is_no_candidate_for_ipv6() -> None:
    datagram = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")
    incident = only(miss(100_000, datagram, sock("0.0.0.0:53"), code=4))
    assert incident.cause is Cause.NO_SOCKET
    assert incident.candidates == 1
    assert incident.hints == ("the IPv4 socket 0.0.0.0:53 cannot take IPv6",)


# Rejected


def test_a_miss_not_proven_is_rejected_whatever_is_on_the_port() -> None:
    incident = only(
        miss(10, DATAGRAM, sock("127.0.0.1:53"), proven=False, caller="nft_reject_ipv4_eval")
    )
    assert incident.cause is Cause.REJECTED
    assert incident.socket is None
    assert incident.mismatch == ()
    assert incident.candidates == 1


def test_a_rejection_is_certain_though_no_socket_was_read_for_it() -> None:
    """The kernel's probe walks where a lookup has missed, and nowhere else."""
    there = seen(1, sock("127.0.0.1:53"))
    incident = only(there, miss(10, DATAGRAM, no_walk=True, proven=False))
    assert (incident.cause, incident.certain, incident.candidates) == (Cause.REJECTED, True, 1)
    (caveat,) = incident.caveats
    assert caveat.startswith("the sockets were not read at the miss")
    lookalike = only(there, miss(10, DATAGRAM, no_walk=True))
    assert (lookalike.cause, lookalike.certain) == (Cause.LOCAL_ADDRESS, False)


# Closed

SERVER53 = sock("0.0.0.0:53", inode=7)


def closed_cause(closed_ms: float, netns: int = HOST) -> Cause:
    view = sock("0.0.0.0:53", inode=7, netns=netns)
    return only(close(closed_ms, view), miss(100_000, DATAGRAM)).cause


def test_closed_within_the_window() -> None:
    assert closed_cause(99_999) is Cause.CLOSED
    assert closed_cause(40_001) is Cause.CLOSED


def test_closed_before_the_window_or_after_the_miss_is_not_it() -> None:
    assert closed_cause(39_999) is Cause.NO_SOCKET
    assert closed_cause(100_050) is Cause.NO_SOCKET


def test_closed_elsewhere_is_not_it() -> None:
    assert closed_cause(99_999, netns=BOX) is Cause.NO_SOCKET


def test_closed_on_another_port_is_not_it() -> None:
    other = sock("0.0.0.0:54", inode=7)
    assert only(close(99_999, other), miss(100_000, DATAGRAM)).cause is Cause.NO_SOCKET


def test_closed_that_never_would_have_matched_is_not_it() -> None:
    other = sock("127.0.0.1:53", inode=7)
    assert only(close(99_999, other), miss(100_000, DATAGRAM)).cause is Cause.NO_SOCKET


def test_closed_exact_is_preferred_to_a_later_one_that_connected_away() -> None:
    tied = sock("10.0.0.1:53", "10.0.0.8:1", inode=8)
    incident = only(
        connect(1000, sock("0.0.0.0:53", inode=8), tied),
        close(90_000, SERVER53),
        close(95_000, tied),
        miss(100_000, DATAGRAM),
    )
    assert incident.socket is not None
    assert incident.socket.inode == 7
    assert incident.mismatch == ()
    assert incident.hints == ()


def test_closed_the_latest_of_equals() -> None:
    incident = only(
        close(90_000, SERVER53),
        close(95_000, sock("0.0.0.0:53", inode=9)),
        miss(100_000, DATAGRAM),
    )
    assert incident.socket is not None
    assert incident.socket.inode == 9


def test_a_candidate_comes_before_a_closed_socket_which_is_hinted_at() -> None:
    incident = only(
        bind(1, SERVER53, by=task(77, "named")),
        close(99_000, SERVER53, by=task(77, "named")),
        miss(100_000, DATAGRAM, sock("127.0.0.1:53", inode=3)),
    )
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.hints == (
        "named[77] held 0.0.0.0:53 and would have taken it, but closed it before",
    )


def test_closed_connected_away_says_what_it_would_have_refused() -> None:
    tied = sock("0.0.0.0:53", "10.0.0.8:1", inode=8)
    incident = only(
        connect(1000, sock("0.0.0.0:53", inode=8), tied),
        close(95_000, tied),
        miss(100_000, DATAGRAM),
    )
    assert fields(incident) == ["remote-address", "remote-port"]
    assert incident.hints == (
        "even open it would have refused: it takes datagrams from 10.0.0.8:1 only by its connect()",
    )


# Races

CONNECTED = sock("10.0.0.1:53", "10.0.0.9:4000", inode=7)


def test_connect_race_when_its_connect_spans_the_miss() -> None:
    incident = only(miss(10, DATAGRAM, CONNECTED), connect(10.01, SERVER53, CONNECTED, took=0.02))
    assert incident.cause is Cause.CONNECT_RACE
    assert incident.certain
    assert incident.mismatch == ()


def test_race_without_such_a_connect() -> None:
    for other in (
        connect(9.9, SERVER53, CONNECTED, took=0.02),
        connect(10.5, SERVER53, CONNECTED, took=0.02),
    ):
        incident = only(miss(10, DATAGRAM, CONNECTED), other)
        assert incident.cause is Cause.RACE
        assert not incident.certain
        assert incident.caveats


def test_connect_race_though_the_walk_saw_the_socket_half_moved() -> None:
    half = sock("10.0.0.1:53", "10.0.0.8:1", inode=7)
    incident = only(miss(10, DATAGRAM, half), connect(10.01, SERVER53, CONNECTED, took=0.02))
    assert incident.cause is Cause.CONNECT_RACE


def test_no_race_when_the_socket_was_connected_to_another_before() -> None:
    """Until its connect() is through it takes the earlier peer only: that is what refused."""
    before = sock("10.0.0.1:53", "10.0.0.8:1", inode=7)
    incident = only(miss(10, DATAGRAM, before), connect(10.01, before, CONNECTED, took=0.02))
    assert incident.cause is Cause.REMOTE_ADDRESS


def test_connect_race_seen_after_a_connect_that_let_it_in() -> None:
    before = sock("10.0.0.1:53", "10.0.0.8:1", inode=7)
    incident = only(miss(10, DATAGRAM, CONNECTED), connect(10.01, before, CONNECTED, took=0.02))
    assert incident.cause is Cause.CONNECT_RACE


def test_a_race_names_the_connect_that_was_under_way() -> None:
    incident = only(miss(10, DATAGRAM, SERVER53), connect(10.01, SERVER53, CONNECTED, took=0.02))
    assert incident.socket is not None
    assert incident.socket.peer == "10.0.0.9:4000"
    assert incident.socket.connect is not None
    assert incident.socket.connect.requested == "10.0.0.9:4000"


def test_connect_race_when_a_connect_is_undone() -> None:
    made = connect(5, SERVER53, CONNECTED)
    undone = disconnect(10.01, CONNECTED, SERVER53, took=0.02)
    incident = only(made, miss(10, DATAGRAM, SERVER53), undone)
    assert incident.cause is Cause.CONNECT_RACE
    assert incident.certain
    assert incident.socket is not None
    assert incident.socket.peer == "10.0.0.9:4000"
    later = only(made, disconnect(9.9, CONNECTED, SERVER53), miss(10, DATAGRAM, SERVER53))
    assert later.cause is Cause.RACE


def test_no_race_when_the_connect_under_way_would_refuse() -> None:
    """The walk saw its new local address and not yet its new peer."""
    half = sock("10.0.0.1:53", inode=7)
    away = sock("10.0.0.1:53", "10.0.0.8:1", inode=7)
    incident = only(miss(10, DATAGRAM, half), connect(10.01, SERVER53, away, took=0.02))
    assert incident.cause is Cause.REMOTE_ADDRESS
    assert fields(incident) == ["remote-address", "remote-port"]
    assert incident.certain


def test_race_with_a_disconnect_that_gives_up_the_port() -> None:
    undone = disconnect(10.01, CONNECTED, sock("0.0.0.0:0", inode=7), took=0.02)
    incident = only(miss(10, DATAGRAM, CONNECTED), undone)
    assert incident.cause is Cause.RACE
    assert not incident.certain
    assert incident.caveats == ("its connect(AF_UNSPEC), which gave up the port, was under way",)


def test_a_race_is_judged_anew_when_the_connect_returns_after_it_was_told() -> None:
    """The thread was taken off its processor in the middle of connect()."""
    first = miss(1000, DATAGRAM, SERVER53)
    slow = connect(1500, SERVER53, CONNECTED, took=501)
    told_first, told_next = told_of([header(), first, slow, end(5000)])
    assert told_first.cause is Cause.RACE
    assert told_next.cause is Cause.CONNECT_RACE
    assert (told_next.id, told_next.seq) == (told_first.id, 2)
    assert told_next.certain
    assert told_next.caveats == ()
    for other in (
        connect(1500, SERVER53, CONNECTED, took=499),
        connect(1500, replace(SERVER53, inode=8), replace(CONNECTED, inode=8), took=501),
    ):
        assert [i.cause for i in told_of([header(), first, other, end(5000)])] == [Cause.RACE]


def test_closed_comes_before_a_race_with_its_successor() -> None:
    incident = only(
        close(9.9, sock("0.0.0.0:53", inode=3)),
        miss(10, DATAGRAM, SERVER53),
        bind(10.1, SERVER53),
    )
    assert incident.cause is Cause.CLOSED


# No socket


def test_no_socket() -> None:
    incident = only(miss(100_000, DATAGRAM))
    assert incident.cause is Cause.NO_SOCKET
    assert incident.socket is None
    assert incident.candidates == 0
    assert incident.certain
    assert incident.hints == ()


def test_no_socket_early_in_the_trace_says_how_long_closes_are_known() -> None:
    assert only(miss(12_000, DATAGRAM)).hints == (
        "closes are known since the trace began, 12 s before",
    )


def test_no_socket_names_sockets_of_other_namespaces_with_that_address() -> None:
    there = sock("0.0.0.0:53", inode=70, netns=BOX)
    incident = only(
        namespace(1, BOX, "box", "10.0.0.1"),
        namespace(1, OTHER, "other", "10.0.0.77"),
        seen(2, there),
        seen(2, sock("0.0.0.0:53", inode=71, netns=OTHER)),
        seen(2, sock("0.0.0.0:54", inode=72, netns=BOX)),
        owners(3, 70, (900, "dnsmasq", 4)),
        miss(100_000, DATAGRAM),
    )
    assert incident.hints == (
        "dnsmasq[900] on 0.0.0.0:53 in netns box would have taken it: "
        "that namespace has 10.0.0.1 too",
    )


def test_a_socket_elsewhere_that_would_refuse_is_not_hinted_at() -> None:
    incident = only(
        namespace(1, BOX, "box", "10.0.0.1"),
        seen(2, sock("10.0.0.1:53", "10.0.0.8:4", inode=70, netns=BOX)),
        miss(100_000, DATAGRAM),
    )
    assert incident.hints == ()


# Evidence that is not there


def without_walk(ms: float = 100_000) -> Miss:
    return miss(ms, DATAGRAM, no_walk=True)


def test_without_a_walk_the_table_judges_and_says_so() -> None:
    incident = only(seen(1, sock("127.0.0.1:53")), without_walk())
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert not incident.certain
    assert incident.lookup.visited is None
    assert incident.caveats == (
        "the sockets were not read at the miss: judged by those known from before",
    )


def test_without_a_walk_a_socket_opened_later_is_not_blamed() -> None:
    incident = only(without_walk(), seen(100_001, sock("127.0.0.1:53")))
    assert incident.cause is Cause.NO_SOCKET


def test_a_truncated_walk_is_completed_from_the_table() -> None:
    near = sock("10.0.0.1:53", "10.0.0.9:69", inode=5)
    cut = walk(sock("10.0.0.2:53", "10.0.0.8:1", inode=6), truncated=True, visited=256)
    incident = only(seen(1, near), miss(100_000, DATAGRAM, walked=cut))
    assert incident.socket is not None
    assert incident.socket.inode == 5
    assert incident.candidates == 1
    assert not incident.certain
    assert incident.caveats == ("the walk of the port's hash slot stopped after 256 sockets",)


def test_lost_candidates_are_counted_and_said() -> None:
    cut = walk(sock("127.0.0.1:53", inode=6), lost=2)
    incident = only(miss(100_000, DATAGRAM, walked=cut))
    assert incident.candidates == 2
    assert not incident.certain
    assert incident.caveats == ("2 of 3 sockets read at the miss were lost",)


# History


def test_the_connect_is_the_one_that_made_the_four_tuple_at_the_miss() -> None:
    moved = sock("172.17.0.1:56789", "172.17.0.3:999", inode=SERVER)
    incident = only(
        bind(1, SERVER_OPEN),
        connect(10, SERVER_OPEN, SERVER_TIED),
        miss(20, TO_SERVER, SERVER_TIED),
        connect(21, SERVER_TIED, moved),
    )
    assert incident.socket is not None
    assert incident.socket.connect is not None
    assert incident.socket.connect.after.peer == "172.17.0.2:45609"


def test_a_connect_that_failed_set_nothing() -> None:
    incident = only(
        connect(10, SERVER_OPEN, SERVER_TIED),
        connect(11, SERVER_TIED, SERVER_TIED, error=101, by=task(1, "x")),
        miss(20, TO_SERVER, SERVER_TIED),
    )
    assert incident.socket is not None
    assert incident.socket.connect is not None
    assert incident.socket.connect.by.pid == 3467
    assert incident.socket.connect.error is None


def test_a_reused_struct_sock_with_another_inode_is_another_socket() -> None:
    other = sock("172.17.0.1:56789", "172.17.0.2:45609", inode=9000, name=f"s{SERVER}")
    incident = only(
        connect(10, SERVER_OPEN, SERVER_TIED),
        miss(20, TO_SERVER, other),
    )
    assert incident.socket is not None
    assert incident.socket.connect is None


def test_source_of_the_local_address() -> None:
    before = sock("10.0.0.1:53", inode=7, addr_lock=True)
    after = sock("10.0.0.1:53", "10.0.0.8:1", inode=7, addr_lock=True)
    bound = only(connect(1, before, after), miss(20, DATAGRAM, after))
    assert bound.socket is not None
    assert bound.socket.connect is not None
    assert bound.socket.connect.source == "bound"
    kept = sock("10.0.0.1:53", "10.0.0.7:1", inode=7, addr_lock=False)
    again = only(connect(1, kept, after), miss(20, DATAGRAM, after))
    assert again.socket is not None
    assert again.socket.connect is not None
    assert again.socket.connect.source == "route"


def test_owners_that_come_later_still_name_the_process() -> None:
    incident = only(miss(20, TO_CLIENT, CLIENT_TIED, netns=BOX), owners(120, 6001, (5, "x", 9)))
    assert incident.socket is not None
    assert [(p.pid, p.fd) for p in incident.socket.processes] == [(5, 9)]


def test_no_owner_found_does_not_unsay_who_called() -> None:
    incident = only(
        connect(1, SERVER_OPEN, SERVER_TIED, by=task(42, "srv")),
        owners(2, SERVER),
        miss(20, TO_SERVER, SERVER_TIED),
    )
    assert incident.socket is not None
    assert [(p.pid, p.fd) for p in incident.socket.processes] == [(42, None)]


def test_an_error_before_is_no_reason_for_a_close_much_later() -> None:
    soon, later = (
        only(error(1000, SERVER53), close(ms, SERVER53), miss(61_000, DATAGRAM))
        for ms in (1500, 60_000)
    )
    assert soon.socket is not None
    assert later.socket is not None
    assert soon.socket.closed is not None
    assert later.socket.closed is not None
    assert (soon.socket.closed.told, later.socket.closed.told) == ("ECONNREFUSED", None)


def test_a_closed_socket_of_another_namespace_is_no_hint() -> None:
    there = sock("0.0.0.0:53", inode=70, netns=BOX)
    incident = only(
        namespace(1, BOX, "box", "10.0.0.1"),
        seen(2, there),
        miss(100_000, DATAGRAM),
        close(100_000.1, there),
    )
    assert incident.hints == ()


def test_without_a_walk_a_socket_closed_since_in_the_same_namespace_is_no_hint_either() -> None:
    incident = only(
        namespace(1, HOST, "host", "10.0.0.1"),
        seen(2, sock("0.0.0.0:53", inode=70)),
        miss(100_000, DATAGRAM),
    )
    assert incident.cause is Cause.NO_SOCKET
    assert incident.hints == ()


def test_a_bind_of_an_earlier_port_is_not_what_made_the_socket() -> None:
    wrong = sock("127.0.0.1:53", inode=3)
    incident = only(bind(1, sock("127.0.0.1:99", inode=3)), miss(20, DATAGRAM, wrong))
    assert incident.socket is not None
    assert incident.socket.bind is None
