"""Namespaces with the same addresses, numbers in use again: nothing is taken for another's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    close,
    connect,
    count,
    error,
    gram,
    miss,
    namespace,
    owners,
    seen,
    sock,
    task,
)
from tests.unit.linking import incidents, only
from tracer.causes import Cause
from tracer.events import Event, SocketView
from tracer.incident import Incident
from tracer.link import IncidentUpdate
from tracer.render.text import TextRenderer

OVER_LO = gram("10.0.0.9:4000", "10.0.0.1:53", ifname="lo")
ARRIVED = gram("10.0.0.9:4000", "10.0.0.1:53")


def sender(netns: int, inode: int) -> SocketView:
    return sock("10.0.0.9:4000", "10.0.0.1:53", inode=inode, netns=netns)


IN_BOX, IN_OTHER = sender(BOX, 11), sender(OTHER, 12)
KNOWN: list[Event] = [seen(1, IN_BOX), seen(1, IN_OTHER)]


def told(incident: Incident) -> list[int]:
    return [t.socket.inode for t in incident.told]


def origin(incident: Incident) -> int | None:
    return incident.origin.inode if incident.origin else None


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 1, 3, 2), (1, 0, 2, 3), (1, 0, 3, 2)])
def test_the_same_at_the_same_time_in_two_namespaces(order: tuple[int, ...]) -> None:
    """Both misses before both errors: over loopback an error is about its own namespace's."""
    made: list[Event] = []
    for place, which in enumerate(order):
        ms = 1000 + place / 10
        events: list[Event] = [
            miss(ms, OVER_LO, netns=BOX),
            miss(ms, OVER_LO, netns=OTHER),
            error(ms, IN_BOX),
            error(ms, IN_OTHER),
        ]
        made.append(events[which])
    found = {i.netns.inum: i for i in incidents(*KNOWN, *made)}
    assert {inum: told(i) for inum, i in found.items()} == {BOX: [11], OTHER: [12]}
    assert {inum: origin(i) for inum, i in found.items()} == {BOX: 11, OTHER: 12}
    assert [i.caveats for i in found.values()] == [(), ()]


def test_one_after_the_other_from_elsewhere() -> None:
    """As between containers: who was told is then the only evidence of who sent it."""
    receivers = (HOST, 4026539999)
    first, second = incidents(
        *KNOWN,
        miss(1000, ARRIVED, netns=receivers[0]),
        error(1000.1, IN_BOX),
        replace(miss(1100, ARRIVED, netns=HOST), netns=receivers[1], netns_cookie=5),
        error(1100.1, IN_OTHER),
    )
    assert (told(first), told(second)) == ([11], [12])
    assert (origin(first), origin(second)) == (11, 12)


def test_a_socket_told_before_is_told_of_the_same_again() -> None:
    first, second = incidents(
        *KNOWN,
        miss(1000, ARRIVED),
        error(1000.1, IN_BOX),
        miss(1050, ARRIVED, netns=BOX),
        count(1100, ARRIVED, 2, since=1000, last=1060),
        error(1060.1, IN_BOX),
        error(1060.2, IN_OTHER),
    )
    assert (told(first), told(second)) == ([11], [12])


def test_what_cannot_be_told_apart_is_not_and_said() -> None:
    both = incidents(
        *KNOWN,
        miss(1000, ARRIVED),
        replace(miss(1000.1, ARRIVED), netns=4026539999, netns_cookie=5),
        error(1000.2, IN_BOX),
        error(1000.3, IN_OTHER),
    )
    assert [told(incident) for incident in both] == [[], []]
    for incident in both:
        assert incident.origin is None
        assert [caveat for caveat in incident.caveats if "its like in another netns" in caveat]


# A number in use again


def reused(view: SocketView) -> SocketView:
    """The socket in a namespace that had the number before."""
    return replace(view, netns_cookie=77)


SERVER = sock("10.0.0.1:53", inode=20, netns=BOX)
TO_SERVER = miss(2000, gram("10.0.0.9:4000", "10.0.0.1:53", ifname="lo"), netns=BOX)


def test_a_socket_closed_in_a_namespace_that_had_the_number_before() -> None:
    incident = only(close(1000, reused(SERVER)), TO_SERVER)
    assert incident.cause is Cause.NO_SOCKET
    assert only(close(1000, SERVER), TO_SERVER).cause is Cause.CLOSED
    # Before Linux 5.12 there is no cookie to tell them apart.
    assert only(close(1000, replace(SERVER, netns_cookie=0)), TO_SERVER).cause is Cause.CLOSED


def test_a_sender_in_a_namespace_that_had_the_number_before() -> None:
    assert origin(only(seen(1, reused(IN_BOX)), TO_SERVER)) is None
    assert origin(only(seen(1, IN_BOX), TO_SERVER)) == 11


def test_an_error_told_in_a_namespace_that_had_the_number_before() -> None:
    assert told(only(TO_SERVER, error(2000.1, reused(IN_BOX)))) == []
    assert told(only(TO_SERVER, error(2000.1, IN_BOX))) == [11]


def test_what_a_namespace_held_that_had_the_number_before() -> None:
    loose = sock("0.0.0.0:4000", inode=12, netns=BOX)
    old = replace(namespace(1, BOX, "old", "10.0.0.9"), cookie=77)
    assert only(old, seen(2, loose), TO_SERVER).origin is None
    assert origin(only(namespace(1, BOX, "new", "10.0.0.9"), seen(2, loose), TO_SERVER)) == 12


def test_an_inode_in_use_again_has_not_the_owners_of_before() -> None:
    again = sock("10.0.0.2:53", inode=20, netns=BOX, name="another")
    late = miss(9000, gram("10.0.0.9:4000", "10.0.0.1:53"), again, netns=BOX)
    incident = only(
        connect(1, SERVER, SERVER, by=task(5, "first")),
        owners(2, 20, (5, "first", 3)),
        close(1000, SERVER, by=task(5, "first")),
        connect(5000, again, again, by=task(6, "second")),
        late,
    )
    assert incident.socket is not None
    assert [p.comm for p in incident.socket.processes] == ["second"]
    assert incident.socket.closed is None


def test_a_process_with_the_pid_of_the_one_that_connected() -> None:
    """It holds the socket now, and did not make the connect()."""
    tied = sock("10.0.0.1:53", "10.0.0.7:1", inode=20, netns=BOX)
    incident = only(
        connect(1, SERVER, tied, by=task(5, "first", start_ns=100)),
        owners(2, 20, (5, "second", 3)),
        miss(3000, gram("10.0.0.9:4000", "10.0.0.1:53"), tied, netns=BOX),
    )
    assert incident.socket is not None
    assert incident.socket.connect is not None
    assert incident.socket.connect.by.comm == "first"
    assert [p.comm for p in incident.socket.processes] == ["second"]
    text = TextRenderer(columns=200).update(IncidentUpdate(incident, None))
    assert "first[5]'s connect(" in text


def test_lookalike_the_process_that_connected_by_another_name() -> None:
    """After an exec: the start in /proc is that of the task, to the clock tick."""
    tied = sock("10.0.0.1:53", "10.0.0.7:1", inode=20, netns=BOX)
    incident = only(
        connect(1, SERVER, tied, by=task(5, "first", start_ns=790_000_000_000 + 9_999_999)),
        owners(2, 20, (5, "second", 3)),
        miss(3000, gram("10.0.0.9:4000", "10.0.0.1:53"), tied, netns=BOX),
    )
    text = TextRenderer(columns=200).update(IncidentUpdate(incident, None))
    assert "its connect(" in text
