"""How a value that refused was set, in the words of the text output."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.build import (
    HOST,
    bind,
    close,
    connect,
    disconnect,
    gram,
    loss,
    miss,
    namespace,
    owners,
    seen,
    sock,
    task,
)
from tests.unit.linking import incidents, only
from tests.unit.test_render_text import body
from tracer.events import Event, SocketView
from tracer.link import Linker
from tracer.parts import Process
from tracer.totals import Limits

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
OPEN = sock("0.0.0.0:53", inode=7)
TO_A = sock("10.0.0.1:53", "10.0.0.7:4000", inode=7)
TO_B = sock("10.0.0.1:53", "10.0.0.8:4000", inode=7)
ELSEWHERE = sock("10.0.0.2:53", "10.0.0.9:4000", inode=7)


def set_by(view: SocketView, *before: Event) -> list[str]:
    """What the text says set it: each phrase, unwrapped."""
    lines = body(*before, miss(100_000, DATAGRAM, view))
    phrases: list[str] = []
    for line in lines:
        if line.startswith("  set by"):
            phrases.append(line.split(maxsplit=2)[2])
        elif phrases and line.startswith("     "):
            phrases[-1] += " " + line.strip()
        elif phrases:
            break
    return phrases


def test_bind() -> None:
    assert set_by(sock("10.0.0.2:53", inode=7), bind(1, sock("10.0.0.2:53", inode=7))) == [
        "its bind(10.0.0.2:53) at 12:03:00.001"
    ]


def test_the_routes_choice_and_where_it_was_kept() -> None:
    assert set_by(ELSEWHERE, connect(1, OPEN, ELSEWHERE)) == [
        "its connect(10.0.0.9:4000) at 12:03:00.001; the route chose 10.0.0.2, it was 0.0.0.0 "
        "before"
    ]
    first = sock("10.0.0.2:53", "10.0.0.7:1", inode=7)
    assert set_by(ELSEWHERE, connect(1, OPEN, first), connect(2, first, ELSEWHERE)) == [
        "its connect(10.0.0.7:1) at 12:03:00.001; the route chose 10.0.0.2, it was 0.0.0.0 before, "
        "and its connect(10.0.0.9:4000) at 12:03:00.002 kept it"
    ]


def test_reconnects_are_counted_and_the_last_peer_named() -> None:
    (once,) = set_by(TO_B, connect(1, OPEN, TO_B))
    assert once.endswith("; it had no peer before")
    calls = (connect(1, OPEN, TO_B), connect(2, TO_B, TO_A), connect(3, TO_A, TO_B))
    assert set_by(TO_B, *calls) == [
        "its connect(10.0.0.8:4000) at 12:03:00.003; connected 3 times, to 10.0.0.7:4000 before"
    ]
    again = (calls[0], calls[1], disconnect(2.5, TO_A, OPEN), connect(3, OPEN, TO_B))
    assert set_by(TO_B, *again) == [
        "its connect(10.0.0.8:4000) at 12:03:00.003; it had no peer before, though it was "
        "connected 3 times"
    ]


def test_one_call_that_set_two_values_is_one_line_and_two_calls_are_two() -> None:
    view = sock("10.0.0.2:53", "10.0.0.8:69", inode=7)
    assert set_by(view, connect(1, OPEN, view)) == [
        "its connect(10.0.0.8:69) at 12:03:00.001; the route chose 10.0.0.2, it was 0.0.0.0 "
        "before; it had no peer before"
    ]
    at_bind = sock("10.0.0.2:53", inode=7)
    assert set_by(view, bind(1, at_bind), connect(2, at_bind, view)) == [
        "its bind(10.0.0.2:53) at 12:03:00.001",
        "its connect(10.0.0.8:69) at 12:03:00.002; it had no peer before",
    ]


def test_who_called_and_who_holds_it_now() -> None:
    made = connect(1, OPEN, TO_B, by=task(12, "a"))
    (both,) = set_by(TO_B, made, owners(2, 7, (12, "a", 3), (13, "b", 3)))
    assert both.startswith("a[12]'s connect(10.0.0.8:4000) at 12:03:00.001; it had no")
    (one,) = set_by(TO_B, made, owners(2, 7, (13, "b", 3)))
    assert one.startswith("a[12]'s connect(10.0.0.8:4000) at 12:03:00.001, held now by b[13]; it")
    four = owners(2, 7, *((pid, "b", 3) for pid in (13, 14, 15, 16)))
    (many,) = set_by(TO_B, made, four)
    assert "held now by b[13], b[14], b[15] and 1 more; it" in many


def test_a_reused_process_number_is_another_process() -> None:
    made = connect(1, OPEN, TO_B, by=task(12, "a", start_ns=5))
    (text,) = set_by(TO_B, made, owners(2, 7, (12, "a", 3)))
    assert "held now by a[12]" in text
    incident = only(made, owners(2, 7, (12, "a", 3)), miss(3, DATAGRAM, TO_B))
    assert incident.socket is not None
    assert incident.socket.held_by(incident.set_by[0].by) is False


@pytest.mark.parametrize(
    ("start", "same"), [(1_000_000_000, True), (1_009_999_999, True), (2, False), (None, True)]
)
def test_a_process_is_its_number_and_its_start(start: int | None, same: bool) -> None:
    exact, coarse = Process(1, "a", None, start), Process(1, "b", 3, 1_000_000_000)
    assert exact.is_same(coarse) is same
    assert not replace(exact, pid=2).is_same(coarse)


def test_an_ipv6_peer_that_a_disconnect_left() -> None:
    tied = sock("[fd00::1]:53", "[fd00::8]:1", inode=7)
    stale = replace(sock("[::]:53", inode=7), peer="fd00::8")
    datagram = gram("[fd00::9]:4000", "[fd00::1]:53")
    lines = body(
        connect(1, sock("[::]:53", inode=7), tied),
        disconnect(2, tied, stale),
        miss(100_000, datagram, stale, code=4),
    )
    assert (
        "set by its connect([fd00::8]:1) at 12:03:00.001; its disconnect (AF_UNSPEC) at "
        "12:03:00.002 left that address"
    ) in " ".join(" ".join(lines).split())


def test_a_device() -> None:
    links = namespace(0, HOST, "h", links=((2, "eth0"), (3, "eth1")))
    view = replace(OPEN, device=3)
    assert set_by(view, links, bind(1, OPEN)) == ["not traced: set by setsockopt(SO_BINDTODEVICE)"]
    six = sock("[fe80::1]:53", "[fe80::9]:4000", inode=7, device=3)
    text = " ".join(
        " ".join(
            body(
                links,
                connect(1, sock("[::]:53", inode=7), six),
                miss(2, gram("[fe80::9]:4000", "[fe80::1]:53"), six, code=4),
            )
        ).split()
    )
    assert "; that bound it to that interface, it was unbound before" in text


# Not seen


def test_older_than_the_trace() -> None:
    older = "not seen: older than the trace"
    assert set_by(TO_B, seen(1, TO_B)) == [f"a connect() {older}"]
    bound = sock("10.0.0.2:53", inode=7, addr_lock=True)
    assert set_by(bound, seen(1, bound)) == [f"a bind() {older}"]
    tied = sock("10.0.0.2:53", "10.0.0.8:1", inode=7, addr_lock=False)
    assert set_by(tied, seen(1, tied)) == [f"a connect() {older}; the route chose 10.0.0.2"]
    unknown = sock("10.0.0.2:53", inode=7)
    assert set_by(unknown, seen(1, unknown)) == [older]


def test_what_else_is_possible_after_a_loss() -> None:
    assert set_by(TO_B, seen(1, TO_B), loss(2, "call", 3), loss(3, "inflight", 1)) == [
        "a connect() not seen: older than the trace; 4 records of calls were lost"
    ]
    # Other records lost have no part in it.
    assert set_by(TO_B, loss(2, "miss", 3)) == ["a connect() not seen: no record of the call"]


def test_what_else_is_possible_after_sockets_were_forgotten() -> None:
    others = (seen(1, sock("0.0.0.0:9", inode=n)) for n in (20, 21))
    made = connect(0, OPEN, TO_B)
    events: list[Event] = [made, *others, miss(100_000, DATAGRAM, TO_B)]
    (incident,) = incidents(*events, linker=Linker(limits=Limits(sockets=1)))
    assert incident.set_by[0].why == (
        "not seen: no record of the call; some sockets were forgotten to bound memory"
    )


def test_an_update_keeps_the_history_that_was_told() -> None:
    """However much the socket is reconnected before it is told again."""
    calls = [connect(1, OPEN, TO_B)]
    calls += [connect(2000 + n, TO_B, TO_B, by=task(9, "other")) for n in range(20)]
    first = miss(1000, DATAGRAM, TO_B)
    again = miss(3000, DATAGRAM, TO_B, total=2, since=1000)
    incident = only(calls[0], first, *calls[1:], again)
    assert incident.count == 2
    assert incident.set_by[0].time is not None
    assert incident.set_by[0].by is not None
    assert incident.set_by[0].by.pid == 3467


def test_a_closed_socket_tells_its_history_too() -> None:
    made = connect(1, OPEN, ELSEWHERE, by=task(12, "a"))
    closed = (owners(2, 7, (13, "b", 3)), close(99_000, ELSEWHERE, by=task(13, "b")))
    whole = " ".join(" ".join(body(made, *closed, miss(100_000, DATAGRAM))).split())
    assert (
        "set by a[12]'s connect(10.0.0.9:4000) at 12:03:00.001, held last by b[13]; the route "
        "chose 10.0.0.2, it was 0.0.0.0 before"
    ) in whole


def test_hostile_names_and_addresses_stay_inside_their_lines() -> None:
    name = "\x1b[2J\n" * 9
    made = connect(1, replace(OPEN, local="\x1b[2J"), TO_B, by=task(12, name))
    made = replace(made, requested=("\x1b[2J", 1))
    lines = body(made, owners(2, 7, (13, name, 3)), miss(100_000, DATAGRAM, TO_B))
    assert all(line.isprintable() and len(line) <= 80 for line in lines)
