"""Recordings in, a report out: each boot of a host through its own linker, then put together."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.link import IncidentUpdate, Linker
from tracer.report.collect import Collector, Source, Watch
from tracer.report.groups import Groups
from tracer.report.hosts import Halves, join
from tracer.report.model import Report


def make_linker(source: Source) -> Linker:
    """A linker for what is asked of a source."""
    return Linker(
        source.targets,
        following=source.following,
        settle_ns=source.headers[0].settle_ns,
        closed_window_ns=source.closed_window_ns,
        selection=source.selection,
    )


def make_report(sources: Sequence[Source], watch: Watch) -> Report:
    """The report on all sources. Raises RecordingError."""
    groups, halves, traces = Groups(), list[Halves](), []
    several = len(sources) > 1
    for source in sources:
        mine = Halves()

        def take(update: IncidentUpdate, mine: Halves = mine) -> None:
            groups.take(update)
            if several:
                mine.take(update.incident)

        traces.append(Collector(make_linker(source), take).trace(source, watch))
        halves.append(mine)
    pairs, offsets = join(halves)
    for pair in pairs:
        groups.join(pair.refused, pair.told, *pair.whole())
    return Report(
        traces=tuple(traces),
        groups=groups.finished(),
        rest=groups.rest(),
        bins=groups.over_time(),
        offsets=tuple(offsets),
        unjoined=sum(one.forgotten for one in halves),
    )
