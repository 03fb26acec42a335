"""The numbers of a trace, in bounded series; without the library that serves them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tracer import __version__
from tracer.events import LOSSES, Event, Header, Loss
from tracer.link import IncidentUpdate
from tracer.parts import Netns
from tracer.present import Renderer
from tracer.render.escape import NAME_LIMIT, line, shorten

PLACES = 100
"""Pairs of a network namespace's and a container's name that are told apart."""

OTHER = "other"
"""What the names of all others are replaced by."""

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, as the library has it."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: Labels = ()

    @property
    def served_as(self) -> str:
        """Its name in a query."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


_PLACE = ("cause", "netns", "container")

BUILD = Metric("udptrace_build_info", "gauge", "Always 1.", ("version",))
PROBES = Metric("udptrace_probes", "gauge", "Probes by what became of them.", ("state",))
EVENTS = Metric("udptrace_events", "counter", "Events of the trace by their kind.", ("kind",))
LOST = Metric("udptrace_losses", "counter", "Evidence that was dropped, by what.", ("what",))
INCIDENTS = Metric("udptrace_incidents", "counter", "Distinct incidents.", _PLACE)
MISSES = Metric("udptrace_misses", "counter", "Datagrams that missed, repeats included.", _PLACE)

METRICS = (BUILD, PROBES, EVENTS, LOST, INCIDENTS, MISSES)
"""All but those of the process itself, which the library has."""


class Tally:
    """Counts in the trace's thread; `samples` may be called in any other."""

    def __init__(self, places: int = PLACES) -> None:
        self._lock = threading.Lock()
        self._most = places
        self._places: set[tuple[str, str]] = set()
        self._counts: dict[Metric, Counter[Labels]] = {metric: Counter() for metric in METRICS}
        self._counts[BUILD][(__version__,)] = 1
        self._counts[LOST].update({(what,): 0 for what in LOSSES})

    def event(self, event: Event) -> None:
        """Count an event of the trace."""
        with self._lock:
            self._counts[EVENTS][(event.kind,)] += 1
            if isinstance(event, Loss):
                self._counts[LOST][(event.what,)] += event.count
            elif isinstance(event, Header):
                states = (event.probes, event.unproven, event.missing)
                for state, probes in zip(("proven", "unproven", "missing"), states, strict=True):
                    self._counts[PROBES][(state,)] = len(probes)

    def update(self, update: IncidentUpdate) -> None:
        """Count an incident when it is told, and what it has more of misses when it changes."""
        incident, previous = update.incident, update.previous
        with self._lock:
            labels = (incident.cause.value, *self._place(incident.netns))
            self._counts[INCIDENTS][labels] += previous is None
            self._counts[MISSES][labels] += incident.count - (previous.count if previous else 0)

    def samples(self) -> Iterator[tuple[Metric, list[tuple[Labels, int]]]]:
        """Each metric with its values as they are now."""
        with self._lock:
            now = [(metric, list(counts.items())) for metric, counts in self._counts.items()]
        return iter(now)

    def _place(self, netns: Netns) -> tuple[str, str]:
        """The names of a network namespace and of its only container, as far as there is room."""
        alone = netns.workload[0].label if len(netns.workload) == 1 else ""
        place = (_value(netns.name or ""), _value(alone))
        if place not in self._places:
            if len(self._places) >= self._most:
                return (OTHER, OTHER)
            self._places.add(place)
        return place


class Tallied:
    """A renderer (tracer.present) whose trace is counted besides."""

    def __init__(self, tally: Tally, renderer: Renderer) -> None:
        self._tally = tally
        self._renderer = renderer

    def event(self, event: Event) -> str:
        """What the renderer makes of it."""
        self._tally.event(event)
        return self._renderer.event(event)

    def update(self, update: IncidentUpdate) -> str:
        """What the renderer makes of it."""
        self._tally.update(update)
        return self._renderer.update(update)


def _value(name: str) -> str:
    """A name from outside as a label's value: bounded, and nothing that is not UTF-8."""
    return line(shorten(name, NAME_LIMIT))
