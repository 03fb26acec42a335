"""What is shown of a trace: directions and filters."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    connect,
    error,
    gram,
    miss,
    received,
    seen,
    sock,
    task,
)
from tests.unit.linking import incidents
from tracer.causes import Cause
from tracer.events import Event
from tracer.link import Linker
from tracer.select import Selection, selection_of

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
SENDER = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11, netns=BOX)
SERVER = sock("10.0.0.1:53", "10.0.0.7:9", inode=12, netns=HOST)
# Sent from BOX, refused by a socket of HOST, told in BOX.
EVENTS: list[Event] = [
    connect(1, sock("0.0.0.0:4000", inode=11, netns=BOX), SENDER, by=task(77, "dig")),
    seen(2, SERVER),
    miss(10_000, DATAGRAM, SERVER),
    error(10_000.1, SENDER),
]


def shown(selection: Selection, *targets: int, events: list[Event] = EVENTS) -> bool:
    return bool(incidents(*events, linker=Linker(frozenset(targets), selection=selection)))


@pytest.mark.parametrize(
    ("direction", "target", "expected"),
    [
        ("in", HOST, True),
        ("in", BOX, False),
        ("out", BOX, True),
        ("out", HOST, False),
        ("both", HOST, True),
        ("both", BOX, True),
        ("both", OTHER, False),
    ],
)
def test_directions(direction: str, target: int, expected: bool) -> None:
    assert shown(selection_of([("direction", direction)]), target) is expected


def test_what_another_machine_refused_went_out() -> None:
    events: list[Event] = [received(10_000, DATAGRAM, netns=BOX)]
    assert shown(selection_of([("direction", "out")]), BOX, events=events)
    assert not shown(selection_of([("direction", "in")]), BOX, events=events)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("cause", "remote-address")], True),
        ([("cause", "closed")], False),
        ([("cause", "closed"), ("cause", "remote-address")], True),
        ([("port", "53")], True),
        ([("port", "4000")], True),
        ([("port", "54")], False),
        ([("host", "10.0.0.9/32")], True),
        ([("host", "10.0.0.0/24")], True),
        ([("host", "fd00::/8")], False),
        ([("process", "dig")], True),
        ([("process", "77")], True),
        ([("process", "nc")], False),
        ([("family", "ipv4")], True),
        ([("family", "ipv6")], False),
        ([("port", "53"), ("family", "ipv6")], False),
    ],
)
def test_filters(pairs: list[tuple[str, str]], expected: bool) -> None:
    assert shown(selection_of(pairs)) is expected


def test_a_selection_is_what_its_pairs_say() -> None:
    pairs = (
        ("direction", "in"), ("cause", "closed"), ("port", "53"), ("host", "10.0.0.0/24"),
        ("process", "nc"), ("family", "ipv6"),
    )  # fmt: skip
    assert selection_of(pairs) == Selection(
        direction="in",
        causes=(Cause.CLOSED,),
        ports=(53,),
        hosts=(ip_network("10.0.0.0/24"),),
        processes=("nc",),
        families=("ipv6",),
    )
    assert selection_of(()) == Selection()


@pytest.mark.parametrize(
    "pair", [("cause", "gravity"), ("port", "http"), ("host", "nowhere"), ("direction", "up")]
)
def test_words_that_are_none(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"gravity|http|nowhere|unpack"):
        selection_of([pair])
