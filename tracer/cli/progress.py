"""How far a long reading has come: a bar on a terminal's stderr, nothing anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

import click

from tracer.events import Event
from tracer.recording.reader import Reader

_EVERY = 2000
"""Events between two looks at the position."""


def watched(reader: Reader, events: Iterable[Event]) -> Iterable[Event]:
    """The events, with a bar while they are read."""
    if sys.stderr is None or not sys.stderr.isatty():
        return events
    return _with_bar(reader, events)


def _with_bar(reader: Reader, events: Iterable[Event]) -> Iterator[Event]:
    size = os.stat(reader.path).st_size
    # Not the path: a name from outside would have to be made safe for the terminal here.
    with click.progressbar(length=size, label="reading", file=sys.stderr) as bar:
        done = 0
        for number, event in enumerate(events):
            if number % _EVERY == 0:
                bar.update(reader.position - done)
                done = reader.position
            yield event
        bar.update(size - done)
