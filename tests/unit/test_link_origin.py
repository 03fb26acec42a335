"""Who sent the datagram: evidence before inference, and nobody rather than the wrong one."""

from __future__ import annotations

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    autobind,
    close,
    connect,
    error,
    gram,
    miss,
    namespace,
    seen,
    sock,
)
from tests.unit.linking import only
from tracer.events import Event

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
SENDER = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11, netns=BOX)
LOOSE = sock("0.0.0.0:4000", inode=12, netns=BOX)
MISS = miss(100_000, DATAGRAM)
HERE = namespace(1, BOX, "box", "127.0.0.1", "10.0.0.9")


def sender(*events: Event) -> int | None:
    """The inode of the origin."""
    incident = only(*events)
    return incident.origin.inode if incident.origin else None


def test_a_connected_socket_with_exactly_that_four_tuple() -> None:
    assert sender(seen(1, SENDER), MISS) == 11
    assert sender(connect(1, LOOSE, SENDER), MISS) == 11


def test_lookalikes_are_not_it() -> None:
    port = sock("10.0.0.9:4001", "10.0.0.1:53", inode=13, netns=BOX)
    address = sock("10.0.0.8:4000", "10.0.0.1:53", inode=14, netns=BOX)
    assert sender(seen(1, port), seen(1, address), MISS) is None


def test_a_mapped_ipv6_socket_sends_ipv4() -> None:
    mapped = sock("[::ffff:10.0.0.9]:4000", "[::ffff:10.0.0.1]:53", inode=15, netns=BOX)
    assert sender(seen(1, mapped), MISS) == 15


def test_a_sender_killed_by_the_error_is_still_named() -> None:
    assert sender(seen(1, SENDER), MISS, close(100_000.3, SENDER)) == 11


def test_a_sender_that_closed_just_before_is_named_a_long_gone_one_is_not() -> None:
    assert sender(seen(1, SENDER), close(99_500, SENDER), MISS) == 11
    assert sender(seen(1, SENDER), close(98_000, SENDER), MISS) is None


def test_a_sender_known_only_after_the_miss() -> None:
    assert sender(MISS, seen(100_010, SENDER)) == 11


def test_an_unconnected_socket_bound_to_the_source() -> None:
    bound = sock("10.0.0.9:4000", inode=16, netns=BOX)
    assert sender(seen(1, bound), MISS) == 16


def test_an_unconnected_wildcard_socket_where_the_address_is_local() -> None:
    assert sender(HERE, autobind(2, LOOSE), MISS) == 12
    six = sock("[::]:4000", inode=17, netns=BOX)
    assert sender(HERE, seen(2, six), MISS) == 17


def test_an_unconnected_wildcard_socket_elsewhere_is_not_it() -> None:
    assert sender(namespace(1, BOX, "box", "10.0.0.8"), seen(2, LOOSE), MISS) is None
    assert sender(seen(2, LOOSE), MISS) is None


def test_a_connected_socket_that_sent_to_somebody_else() -> None:
    other = sock("10.0.0.9:4000", "10.0.0.5:7", inode=18, netns=BOX)
    incident = only(seen(1, other), MISS)
    assert incident.origin is not None
    assert incident.origin.inode == 18
    assert [n.why for n in incident.not_told] == ["connected to another peer"]


TWIN = sock("10.0.0.9:4000", "10.0.0.1:53", inode=21, netns=OTHER)


def test_two_namespaces_with_the_same_addresses_name_nobody() -> None:
    incident = only(seen(1, SENDER), seen(1, TWIN), MISS)
    assert incident.origin is None
    assert incident.certain
    assert incident.caveats == (
        "2 sockets in 2 network namespaces could have sent it: none is named",
    )


def test_two_namespaces_with_the_same_addresses_unconnected() -> None:
    there = namespace(1, OTHER, "other", "10.0.0.9")
    twin = sock("0.0.0.0:4000", inode=22, netns=OTHER)
    assert sender(HERE, there, seen(1, LOOSE), seen(1, twin), MISS) is None


def test_two_closed_ones_in_two_namespaces_name_nobody() -> None:
    events: list[Event] = [
        seen(1, SENDER),
        seen(1, TWIN),
        close(99_900, SENDER),
        close(99_950, TWIN),
    ]
    assert sender(*events, MISS) is None


def test_one_closed_after_the_other_on_a_port_names_the_last() -> None:
    again = sock("10.0.0.9:4000", "10.0.0.1:53", inode=23, netns=BOX)
    assert sender(close(99_900, SENDER), close(99_950, again), MISS) == 23


def test_the_error_told_decides_between_twins() -> None:
    incident = only(seen(1, SENDER), seen(1, TWIN), MISS, error(100_000.1, TWIN))
    assert incident.origin is not None
    assert incident.origin.inode == 21
    assert incident.caveats == ()


def test_what_came_by_loopback_was_sent_in_the_same_namespace() -> None:
    local = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=1, ifname="lo")
    here = sock("10.0.0.9:4000", "10.0.0.1:53", inode=24, netns=HOST)
    assert sender(seen(1, SENDER), seen(1, here), miss(100_000, local)) == 24
    assert sender(seen(1, SENDER), miss(100_000, local)) is None


def test_what_is_rejected_on_its_way_through_came_from_elsewhere() -> None:
    """A router's skb has the device it was to leave by, so that the other's name is not told."""
    forwarded = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=2, ifname="")
    assert sender(seen(1, SENDER), miss(100_000, forwarded, proven=False)) == 11
    assert sender(seen(1, SENDER), miss(100_000, forwarded)) is None


def test_what_is_rejected_on_its_way_out_was_sent_in_the_same_namespace() -> None:
    leaving = gram("10.0.0.9:4000", "10.0.0.1:53", ifindex=0, ifname="")
    here = sock("10.0.0.9:4000", "10.0.0.1:53", inode=24, netns=HOST)
    assert sender(seen(1, SENDER), seen(1, here), miss(100_000, leaving, proven=False)) == 24
    assert sender(seen(1, SENDER), miss(100_000, leaving, proven=False)) is None


def test_several_workers_of_one_port_name_nobody() -> None:
    workers = [sock("10.0.0.9:4000", inode=inode, netns=BOX) for inode in (31, 32)]
    incident = only(*(seen(1, worker) for worker in workers), MISS)
    assert incident.origin is None
    assert incident.caveats == ("2 sockets could have sent it: none is named",)
