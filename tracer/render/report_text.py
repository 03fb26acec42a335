"""A report for a terminal: at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tabulate import tabulate

from tracer.link import IncidentUpdate
from tracer.render import report_parts as parts
from tracer.render.escape import name
from tracer.render.text import TextRenderer
from tracer.render.wrap import wrap
from tracer.report.model import Bins, Group, Report, Sample
from tracer.report.timeline import timeline
from tracer.summary import many
from tracer.timefmt import clock_text, duration_text

COLUMNS = 80

_RAMP = " .:-=+*#"
_MARKS = 40


def report_text(report: Report, top: int, *, color: bool = False) -> Iterator[str]:
    """The report in pieces of whole lines; details of the ``top`` groups with the most misses."""
    yield _lines([f"udptrace report: {parts.headline(report)}"], "")
    yield from _section("By cause", [_causes(report)] if report.groups else [])
    yield from _section("Misses over time (UTC)", _over_time(report.bins))
    incidents = TextRenderer(color=color, columns=COLUMNS - 4)
    for number, group in enumerate(report.groups[:top], 1):
        title = f"{number}. {group.key.cause}  {parts.ends_text(group.key.ends)}"
        yield from _section(title, _group(group, incidents))
    if more := report.groups[top:]:
        misses = many(sum(group.misses for group in more), "miss", "misses")
        yield _lines([f"{many(len(more), 'further group')} with {misses}: see --top"], "\n")
    for trace in report.traces:
        title = f"Trace of {name(trace.host)}"
        yield from _section(title, [_facts(parts.trace_facts(trace))])
    yield from _section("Clocks", map(_paragraph, map(parts.offset_text, report.offsets)))
    yield from _section("Lost, and what that means", map(_paragraph, parts.losses(report)))
    yield from _section("Died silently", map(_paragraph, parts.silences(report)))


def _section(title: str, body: Iterable[str]) -> Iterator[str]:
    """A title and what is under it; nothing where there is nothing."""
    body = list(body)
    if body:
        yield _lines(wrap(title, "", "    ", COLUMNS), "\n")
        yield from body


def _causes(report: Report) -> str:
    rows = [row[:4] for row in parts.by_cause(report)]
    table = tabulate(rows, headers=["cause", "misses", "incidents", "groups"], tablefmt="plain")
    return _lines(("  " + row for row in table.splitlines()), "")


def _over_time(bins: Iterable[tuple[str, Bins]]) -> Iterator[str]:
    """A line of marks for each cause, the darker the more."""
    for cause, one in bins:
        marks, width = _marks(one)
        first = f"  {cause:<14}  {clock_text(one.start)}  |{marks}|"
        note = f"a mark is {duration_text(width)}, at most {max(one.counts)}"
        yield _lines([first[:COLUMNS]], "") + _lines(wrap(note, " " * 18, " " * 18, COLUMNS), "")


def _marks(bins: Bins) -> tuple[str, int]:
    """The counts as marks, and what one of them spans (ns)."""
    counts, width = list(bins.counts), bins.width
    while len(counts) > _MARKS:
        counts = [sum(counts[at : at + 2]) for at in range(0, len(counts), 2)]
        width *= 2
    most = max(counts)
    steps = len(_RAMP) - 1
    return "".join(_RAMP[-(-count * steps // most)] for count in counts), width


def _group(group: Group, incidents: TextRenderer) -> Iterator[str]:
    yield _facts(parts.group_facts(group))
    if group.bins and len(group.bins.counts) > 1:
        yield from _over_time([("over time", group.bins)])
    for number, sample in enumerate(group.samples, 1):
        of = f" {number} of {group.incidents}" if group.incidents > 1 else ""
        yield _lines([f"  incident{of}"], "")
        shown = incidents.update(IncidentUpdate(sample.incident, None))
        yield _lines(("    " + text for text in shown.splitlines()), "")
        yield from _timeline(sample)


def _timeline(sample: Sample) -> Iterator[str]:
    yield _lines(["  timeline"], "")
    for moment in timeline(sample.incident):
        first = f"    {clock_text(moment.time)}  {moment.side:<8}  "
        yield _lines(wrap(parts.moment_words(moment), first, " " * len(first), COLUMNS), "")


def _facts(facts: Iterable[parts.Fact]) -> str:
    return "".join(
        _lines(wrap(text, f"  {label:<14}  ", " " * 18, COLUMNS), "") for label, text in facts
    )


def _paragraph(text: str) -> str:
    return _lines(wrap(text, "  ", "    ", COLUMNS), "")


def _lines(lines: Iterable[str], before: str) -> str:
    return before + "".join(line + "\n" for line in lines)
