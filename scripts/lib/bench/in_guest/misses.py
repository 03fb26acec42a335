"""What a miss costs, by how many sockets are in its slot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from bench.figures import INSTRUCTIONS, Figure
from bench.in_guest import tracers
from bench.in_guest.traffic import holding, measured

TOPIC = "miss"
UNTRACED, FIRST, REPEAT = "untraced", "added to a first one", "added to a repeat"

SAMPLES = 5

APART = 8192
"""Ports this far apart share a slot: of a machine with 16 GB of memory, and of smaller ones."""

OWN = {"no socket": 0, "1": 1, "100": 100, "1,000": 1000, "10,000": 10_000, "60,000": 60_000}
"""Sockets on the port itself."""

OTHERS = {"100 of other ports": 100, "10,000 of other ports": 10_000}
"""Sockets in the slot that are on another port."""


def figures() -> Iterator[Figure]:
    """Instructions of a miss over loopback that tells nobody, and what udptrace adds to it.

    The sockets are there before the trace begins: their binds are no part of this.
    """
    counts = {**OWN, **OTHERS}
    ports = {row: 7000 + number for number, row in enumerate(counts)}
    with ExitStack() as held:
        for row, count in counts.items():
            if count:
                port = ports[row] + (APART if row in OTHERS else 0)
                held.enter_context(holding(count, port))
        untraced = {row: measured("miss", SAMPLES, port) for row, port in ports.items()}
        with tracers.running(tracers.DEFAULT):
            traced = {row: measured("miss", SAMPLES, port) for row, port in ports.items()}
    for row, before in untraced.items():
        after = traced[row]
        yield Figure(TOPIC, row, UNTRACED, before["first"], INSTRUCTIONS)
        yield Figure(TOPIC, row, FIRST, after["first"] - before["first"], INSTRUCTIONS)
        yield Figure(TOPIC, row, REPEAT, after["repeat"] - before["repeat"], INSTRUCTIONS)
