"""Metrics: what is counted, within bounds whatever things are called, and served on request."""

from __future__ import annotations

import socket
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click import BadParameter, Command, Context, Option

from tests.unit.build import BOX, at, gram, miss
from tracer.cli.options import address
from tracer.cli.view import Showing, make_presenter
from tracer.containers import Container
from tracer.errors import UdptraceError
from tracer.events import LOSSES, Loss
from tracer.incident import Incident
from tracer.link import IncidentUpdate, Linker
from tracer.metrics import endpoint
from tracer.metrics.tally import (
    EVENTS,
    INCIDENTS,
    LOST,
    MISSES,
    PROBES,
    Labels,
    Metric,
    Tally,
)
from tracer.parts import Netns
from tracer.recording.reader import Reader
from tracer.select import Selection

TOP = Path(__file__).resolve().parents[2]
NETCAT = TOP / "tests/recordings/v1/netcat.udptrace"


CONTEXT, OPTION = Context(Command("live")), Option(["--metrics"])


@pytest.fixture
def incident() -> Incident:
    linker = Linker()
    linker.feed(miss(1, gram("10.0.0.1:9", "10.0.0.99:53")))
    (update,) = linker.flush()
    return update.incident


def values(tally: Tally, wanted: Metric) -> dict[Labels, int]:
    (found,) = (samples for metric, samples in tally.samples() if metric is wanted)
    return dict(found)


def told(tally: Tally, incident: Incident, netns: Netns) -> None:
    tally.update(IncidentUpdate(replace(incident, netns=netns), None))


def test_an_incident_is_counted_once_and_its_repeats_as_they_come(incident: Incident) -> None:
    tally = Tally()
    more = replace(incident, count=incident.count + 6)
    tally.update(IncidentUpdate(incident, None))
    tally.update(IncidentUpdate(more, incident))
    (labels,) = values(tally, INCIDENTS)
    assert labels[0] == incident.cause.value
    assert values(tally, INCIDENTS) == {labels: 1}
    assert values(tally, MISSES) == {labels: 7}


def test_no_more_names_than_there_is_room_for(incident: Incident) -> None:
    tally = Tally(places=2)
    for number in range(5):
        told(tally, incident, Netns(number, number, f"n{number}"))
    told(tally, incident, Netns(9, 9, "n1"))
    cause = incident.cause.value
    assert values(tally, INCIDENTS) == {
        (cause, "n0", ""): 1,
        (cause, "n1", ""): 2,
        (cause, "other", "other"): 3,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (None, ""),
        ("web", "web"),
        ("\x1b[31m\n", "\\x1b[31m\\x0a"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\u{d800}"),
        ("n" * 500, "n" * 37 + "..."),
    ],
)
def test_names_are_bounded_and_harmless(incident: Incident, name: str | None, value: str) -> None:
    tally = Tally()
    container = Container("docker", "0" * 64, name or "", None)
    told(tally, incident, Netns(BOX, 7, name, (container,) if name else ()))
    ((_, netns, inside),) = values(tally, INCIDENTS)
    assert (netns, inside) == (value, value)
    (netns + inside).encode()  # as it is served: no lone surrogate


def test_of_several_containers_in_a_namespace_none_is_named(incident: Incident) -> None:
    tally = Tally()
    both = tuple(Container("docker", n * 64, n, None) for n in ("a", "b"))
    told(tally, incident, Netns(BOX, 7, "box", both))
    assert [labels[1:] for labels in values(tally, INCIDENTS)] == [("box", "")]


def test_losses_are_there_before_there_is_one() -> None:
    tally = Tally()
    assert values(tally, LOST) == {(what,): 0 for what in LOSSES}
    tally.event(Loss(at(1), "close", 5))
    tally.event(Loss(at(2), "close", 2))
    assert values(tally, LOST)[("close",)] == 7


def test_a_whole_trace_is_counted_and_shown_as_without() -> None:
    """All events of a recording, and the incidents that are shown of it."""
    shown: list[str] = []
    counted: list[str] = []
    tally = Tally()
    with closing(Reader(str(NETCAT))) as reader:
        events = list(reader)
    for out, counting in ((shown, None), (counted, tally)):
        showing = Showing("json", "never", out.append, (), False, None, Selection())
        presenter = make_presenter(showing, closed_window_ns=None, limit=None, tally=counting)
        for event in events:
            presenter.feed(event)
        presenter.finish()
    assert counted == shown
    stats = presenter.stats
    assert sum(values(tally, INCIDENTS).values()) == stats.incidents > 0
    assert sum(values(tally, MISSES).values()) == stats.misses
    assert values(tally, EVENTS) == Counter((event.kind,) for event in events)
    assert values(tally, PROBES)[("proven",)] == stats.probes


# Serving


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":9435", ("", 9435)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("node.example:80", ("node.example", 80)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address(CONTEXT, OPTION, text) == expected


@pytest.mark.parametrize("text", ["9435", ":0", ":65536", "::1:80", "[x", "a b:80", ":", ""])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadParameter, match="is not :PORT"):
        address(CONTEXT, OPTION, text)


def test_without_the_library_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UdptraceError, match="apt install python3-prometheus-client"):
        endpoint.require()


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UdptraceError, match=f"^--metrics 127.0.0.1:{port}: cannot listen: "):
            endpoint.serve(Tally(), "127.0.0.1", port)
