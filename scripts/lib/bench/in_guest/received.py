"""What tracers cost a datagram that finds its socket."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from bench.figures import INSTRUCTIONS, Figure
from bench.in_guest import tracers
from bench.in_guest.traffic import measured

TOPIC = "received datagram"
PATH, ALL = "added on its path", "added in all"

# Batches of 20 datagrams. For udptrace enough that what it does once a second is in them.
MANY, SOME, FEW = 6_000, 2_000, 250

REST_S = 1
"""Guest seconds in which a tracer ends what is part of its start: it is no datagram's cost."""

COMPARED = (
    (tracers.DEFAULT, MANY),
    (tracers.ELSEWHERE, MANY),
    (tracers.WITHOUT_LOOKUPS, MANY),
    (tracers.TCPDUMP, SOME),
    (tracers.BPFTRACE_SCRIPT, SOME),
    (tracers.PWRU, FEW),
)


def figures() -> Iterator[Figure]:
    """Instructions of one datagram over loopback, untraced and what each tracer adds.

    The path is what every datagram takes, by the median; all is the mean of a run, with whatever
    else the machine did meanwhile: the tracer's own process is part of it.
    """
    subprocess.run(["ip", "netns", "add", "elsewhere"], check=True)
    untraced = measured("hit", MANY)
    yield Figure(TOPIC, "untraced", "instructions", untraced["path"], INSTRUCTIONS)
    for tracer, batches in COMPARED:
        with tracers.running(tracer):
            time.sleep(REST_S)
            traced = measured("hit", batches)
        yield Figure(TOPIC, tracer.name, PATH, traced["path"] - untraced["path"], INSTRUCTIONS)
        yield Figure(TOPIC, tracer.name, ALL, traced["mean"] - untraced["mean"], INSTRUCTIONS)
