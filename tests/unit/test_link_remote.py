"""ICMP that comes in: of a miss on another machine, unless it was seen here."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    count,
    end,
    error,
    gram,
    header,
    loss,
    miss,
    namespace,
    received,
    seen,
    sock,
)
from tests.unit.linking import incidents, only
from tracer.causes import Cause

DATAGRAM = gram("10.0.0.9:4000", "192.0.2.1:53")
SENDER = sock("10.0.0.9:4000", "192.0.2.1:53", inode=11, netns=HOST)


def test_another_machine_refused_it() -> None:
    incident = only(seen(1, SENDER), received(1000, DATAGRAM), error(1000.1, SENDER))
    assert (incident.cause, incident.certain) == (Cause.REMOTE, True)
    assert (incident.icmp.status, incident.icmp.sender) == ("received", "192.0.2.1")
    assert [(t.socket.inode, t.error) for t in incident.told] == [(11, "ECONNREFUSED")]
    assert incident.origin is not None
    assert incident.origin.inode == 11
    assert "run udptrace on 192.0.2.1" in incident.advice[0]


def test_a_router_is_told_from_the_destination() -> None:
    incident = only(received(1000, DATAGRAM, "198.51.100.1", code=13))
    assert incident.icmp.name == "admin-prohibited"
    assert incident.advice[0].startswith("look at 198.51.100.1")


def test_the_icmp_of_a_miss_seen_here_is_no_incident_of_its_own() -> None:
    incident = only(
        seen(1, SENDER),
        miss(999.9, DATAGRAM, netns=BOX),
        received(1000, DATAGRAM),
        error(1000.1, SENDER),
    )
    assert incident.cause is Cause.NO_SOCKET
    assert [t.socket.inode for t in incident.told] == [11]


def test_nor_while_that_miss_goes_on_and_only_its_count_is_known() -> None:
    later = replace(received(1900, DATAGRAM, total=50), since=received(1000, DATAGRAM).since)
    found = incidents(
        miss(999.9, DATAGRAM, netns=BOX),
        received(1000, DATAGRAM),
        later,
        replace(count(2000, DATAGRAM, total=60, since=1000), received=True),
        end(3000),
    )
    assert [i.cause for i in found] == [Cause.NO_SOCKET]


def test_nor_while_that_miss_goes_on_and_its_counts_are_yet_to_come() -> None:
    """Every 950 ms: not renewed, and counted for the last time just before the second."""
    found = incidents(miss(1000, DATAGRAM, netns=BOX), received(2900, DATAGRAM, total=3), end(9000))
    assert [i.cause for i in found] == [Cause.NO_SOCKET]


def test_a_miss_long_before_does_not_explain_it() -> None:
    found = incidents(miss(1000, DATAGRAM, netns=BOX), received(9000, DATAGRAM), end(9900))
    assert [i.cause for i in found] == [Cause.NO_SOCKET, Cause.REMOTE]


def test_its_repeats_are_counted_exactly() -> None:
    first = received(1000, DATAGRAM)
    found = incidents(
        first,
        replace(count(2000, DATAGRAM, total=7, since=1000), received=True),
        end(9000),
    )
    assert [(i.cause, i.count) for i in found] == [(Cause.REMOTE, 7)]


def test_a_count_that_comes_before_its_evidence_is_not_lost() -> None:
    found = incidents(
        replace(count(1001, DATAGRAM, total=20, since=1000), received=True),
        received(1000, DATAGRAM),
        end(9000),
    )
    assert [(i.cause, i.count) for i in found] == [(Cause.REMOTE, 20)]


def test_a_sender_that_is_an_address_of_this_machine_makes_it_doubtful() -> None:
    here = namespace(1, BOX, "box", "192.0.2.1")
    incident = only(here, received(1000, DATAGRAM))
    assert (incident.cause, incident.certain) == (Cause.REMOTE, False)
    assert "netns box" in incident.caveats[0]


def test_a_lost_miss_makes_it_doubtful() -> None:
    incident = only(header(), received(1000, DATAGRAM), loss(1010, "miss", 1))
    assert incident.certain is False


def test_the_sender_is_looked_for_in_the_namespace_that_received_it() -> None:
    twin = sock("10.0.0.9:4000", "192.0.2.1:53", inode=12, netns=BOX)
    incident = only(seen(1, SENDER), seen(2, twin), received(1000, DATAGRAM))
    assert incident.origin is not None
    assert incident.origin.inode == 11
