"""A short walk completed by what was read after it, and what changed in between undone."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    bind,
    close,
    connect,
    gram,
    loss,
    miss,
    owners,
    read,
    seen,
    sock,
    tick,
    walk,
)
from tests.unit.linking import only, updates
from tracer.causes import Cause
from tracer.events import Event, SocketView
from tracer.incident import Incident
from tracer.link import Linker

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
FAR = sock("10.0.0.2:53", "10.0.0.8:1", inode=6)
NEAR = sock("10.0.0.1:53", "10.0.0.9:69", inode=5)
SHORT = walk(FAR, truncated=True, visited=256)
MISS = miss(1000, DATAGRAM, walked=SHORT)
STOPPED = "the walk of the port's hash slot stopped after 256 sockets"


def named(incident: Incident) -> str | None:
    return incident.socket.local if incident.socket else None


def test_the_nearest_of_walk_and_dump_is_named_and_the_rest_counted() -> None:
    incident = only(MISS, read(1012, MISS, NEAR, total=600))
    assert incident.cause is Cause.REMOTE_PORT
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 599
    assert incident.certain
    assert incident.lookup.truncated
    assert incident.caveats == (
        f"{STOPPED}; the port's other 599 were read from a socket dump 12.0 ms later",
    )


def test_the_walk_s_may_be_the_nearest() -> None:
    near = miss(1000, DATAGRAM, walked=walk(NEAR, truncated=True))
    incident = only(near, read(1012, near, FAR, total=2))
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 1


def test_a_socket_in_both_is_one_and_as_it_was_at_the_miss() -> None:
    later = sock("10.0.0.1:53", "10.0.0.9:4000", inode=6, name="")
    incident = only(MISS, read(1012, MISS, later, total=1))
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.candidates == 0


def test_a_slot_of_other_ports_only() -> None:
    empty = miss(1000, DATAGRAM, walked=walk(truncated=True, visited=256))
    incident = only(empty, read(1012, empty))
    assert incident.cause is Cause.NO_SOCKET
    assert incident.certain
    assert incident.caveats == (
        f"{STOPPED}; a socket dump 12.0 ms later shows no others on the port",
    )


def test_a_walk_that_the_budget_did_not_allow() -> None:
    unread = replace(walk(truncated=True), chain=7, skipped=True)
    without = miss(1000, DATAGRAM, walked=unread)
    said = (
        "the 7 sockets of the port's hash slot were not read at the miss: so many missed that the "
        "budget for it was used up"
    )
    incident = only(without, read(1012, without, NEAR, total=1))
    assert named(incident) == "10.0.0.1:53"
    assert incident.certain
    assert incident.caveats == (
        f"{said}; the port's other 1 were read from a socket dump 12.0 ms later",
    )
    alone = only(without)
    assert alone.caveats == (said,)
    assert not alone.certain


def test_sockets_of_a_walk_that_were_lost_are_read_again() -> None:
    lost = miss(1000, DATAGRAM, walked=walk(FAR, lost=1))
    incident = only(lost, read(1002, lost, NEAR, total=2))
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 1
    assert incident.caveats == (
        "1 of 2 sockets read at the miss were lost; the port's other 1 were read from a socket "
        "dump 2.0 ms later",
    )


def test_what_could_not_be_read_is_said_and_what_is_known_stands_in() -> None:
    why = "udp_diag: No such file or directory"
    incident = only(seen(1, NEAR), MISS, read(1012, MISS, incomplete=why))
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 1
    assert not incident.certain
    assert incident.caveats == (
        f"{STOPPED}; the others could not be read from a socket dump ({why}): judged by those "
        "known from before",
    )


def test_a_part_that_was_read_counts() -> None:
    part = read(1012, MISS, NEAR, total=300, incomplete="the sockets changed while they were read")
    incident = only(MISS, part)
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 299
    assert not incident.certain


# What changed between the miss and the reading

OPEN = sock("0.0.0.0:53", inode=5)
SERVING = sock("10.0.0.1:53", inode=7)


def test_a_socket_bound_after_the_miss_was_not_there() -> None:
    """It would take the datagram: only that it came later keeps it from being named."""
    incident = only(MISS, read(1012, MISS, SERVING, total=2), bind(1005, SERVING))
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.candidates == 0
    assert not incident.certain
    assert "1 of the port's sockets changed between the two" in incident.caveats


def test_lookalike_a_socket_bound_before_the_miss_was() -> None:
    incident = only(bind(995, SERVING), MISS, read(1012, MISS, SERVING, total=2))
    assert incident.cause is Cause.RACE


def test_a_socket_bound_after_the_reading_is_no_change() -> None:
    incident = only(MISS, read(1012, MISS, NEAR, total=2), bind(1013, SERVING))
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 1
    assert incident.certain


def test_a_socket_connected_after_the_miss_is_taken_as_it_was() -> None:
    before = sock("10.0.0.1:53", "10.0.0.7:4000", inode=5)
    call = connect(1005, before, NEAR)
    incident = only(MISS, read(1012, MISS, NEAR, total=2), call)
    assert incident.cause is Cause.REMOTE_ADDRESS
    assert incident.socket is not None
    assert incident.socket.peer == "10.0.0.7:4000"
    assert incident.candidates == 1
    assert not incident.certain


def test_a_socket_closed_after_the_miss_was_there() -> None:
    incident = only(seen(1, NEAR), MISS, read(1012, MISS, total=1), close(1005, NEAR))
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 1
    assert not incident.certain


def test_a_socket_that_was_disconnected_and_lost_its_port_was_there() -> None:
    """As connect(AF_UNSPEC) does to one whose port the kernel chose."""
    nowhere = sock("0.0.0.0:0", inode=5)
    call = replace(connect(1005, NEAR, nowhere), op="disconnect", requested=None)
    incident = only(MISS, read(1012, MISS, total=1), call)
    assert named(incident) == "10.0.0.1:53"
    assert incident.candidates == 1
    assert not incident.certain


def test_a_call_that_failed_changed_nothing() -> None:
    call = connect(1005, NEAR, NEAR, error=101)
    assert only(MISS, read(1012, MISS, NEAR, total=2), call).certain


def test_more_changes_than_are_remembered() -> None:
    elsewhere = [bind(1001 + n / 1000, sock("0.0.0.0:99", inode=1000 + n)) for n in range(5000)]
    incident = only(MISS, read(1100, MISS, NEAR, total=2), *elsewhere)
    assert not incident.certain
    assert "more changes came between the two than are remembered" in incident.caveats


def test_a_socket_that_came_and_went_was_not() -> None:
    incident = only(MISS, read(1012, MISS, total=1), bind(1003, SERVING), close(1005, SERVING))
    assert incident.cause is Cause.LOCAL_ADDRESS
    assert incident.candidates == 0
    assert not incident.certain


def test_changes_elsewhere_are_none() -> None:
    elsewhere = sock("10.0.0.1:53", inode=8, netns=BOX)
    other_port = sock("10.0.0.1:54", inode=9)
    incident = only(
        MISS, read(1012, MISS, NEAR, total=2), bind(1005, elsewhere), close(1006, other_port)
    )
    assert incident.certain
    assert incident.candidates == 1


def test_a_lost_record_could_be_a_change() -> None:
    assert not only(MISS, read(1012, MISS, NEAR, total=2), loss(1012, "call")).certain


# When


def test_a_slow_reading_is_waited_for_with_all_that_happened_meanwhile() -> None:
    """The miss would settle at 1200; what was bound at 1300 would have been taken for older."""
    linker = Linker()
    events: list[Event] = [
        MISS,
        read(1500, MISS, SERVING, total=2),
        tick(1250),
        bind(1300, SERVING),
        tick(1501),
    ]
    *nothing, (update,) = [updates([event], linker) for event in events]
    assert nothing == [[], [], [], []]
    assert update.incident.cause is Cause.LOCAL_ADDRESS


def test_what_was_read_for_another_miss_is_not_taken() -> None:
    other = miss(900, gram("10.0.0.9:4001", "10.0.0.1:53"), walked=SHORT)
    incident = only(MISS, read(1012, other, sock("10.0.0.3:53", "10.0.0.9:2", inode=8), total=9))
    assert named(incident) == "10.0.0.2:53"
    assert incident.caveats == (STOPPED,)


def test_the_owner_of_a_socket_that_was_only_read() -> None:
    incident = only(MISS, read(1012, MISS, NEAR, total=2), owners(1013, 5, (9, "dns", 3)))
    assert incident.socket is not None
    assert [p.pid for p in incident.socket.processes] == [9]


# Groups


def group(number: int, reuseport: bool | None = True) -> list[SocketView]:
    return [sock("10.0.0.2:53", inode=n, reuseport=reuseport) for n in range(100, 100 + number)]


def test_a_reuseport_group_is_said_to_be_one() -> None:
    incident = only(miss(1000, DATAGRAM, *group(8)))
    assert incident.candidates == 7
    assert incident.hints == ("8 sockets share 10.0.0.2:53 by SO_REUSEPORT; all refuse it alike",)


def test_only_members_that_refuse_it_alike_count() -> None:
    tied = sock("10.0.0.2:53", "10.0.0.8:1", inode=50, reuseport=True)
    elsewhere = sock("10.0.0.3:53", inode=500, reuseport=True)
    incident = only(miss(1000, DATAGRAM, *group(2), tied, elsewhere))
    assert incident.candidates == 3
    assert incident.hints[0].startswith("2 sockets share 10.0.0.2:53")


def test_lookalikes_of_a_group() -> None:
    for sockets in (group(1), group(8, False), group(8, None)):
        assert only(miss(1000, DATAGRAM, *sockets)).hints == ()


def test_what_a_dump_does_not_tell_was_seen_at_the_bind() -> None:
    member = group(2)[1]
    short = miss(1000, DATAGRAM, walked=walk(group(1)[0], truncated=True))
    dumped = sock("10.0.0.2:53", inode=member.inode, name="")
    incident = only(bind(1, member), short, read(1012, short, dumped, total=2))
    assert incident.hints[0].startswith("2 sockets share")


# Another namespace under the same number


def test_sockets_of_a_namespace_that_had_the_number_before_are_not_its() -> None:
    old = sock("10.0.0.1:53", "10.0.0.9:69", inode=5)
    new = miss(1000, DATAGRAM, walked=SHORT)
    earlier = only(seen(1, _of(old, 77)), new, read(1012, new, incomplete="gone"))
    assert named(earlier) == "10.0.0.2:53"
    here = only(seen(1, old), new, read(1012, new, incomplete="gone"))
    assert named(here) == "10.0.0.1:53"


def _of(view: SocketView, cookie: int) -> SocketView:
    assert view.netns == HOST
    return replace(view, netns_cookie=cookie)
