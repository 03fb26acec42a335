"""A report as Markdown, for a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tracer.link import IncidentUpdate
from tracer.render import report_parts as parts
from tracer.render.escape import name
from tracer.render.text import TextRenderer
from tracer.report.model import Group, Report, Sample
from tracer.report.timeline import timeline
from tracer.summary import many
from tracer.timefmt import clock_text, duration_text

# What can mean something to some Markdown. A bracket that is none makes no link of what follows it,
# and a full stop, a colon and the like are left alone for the sake of who reads the source.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_LIST = re.compile(r"^(\s*\d*)([-+.)])(?=\s|$)")
_LINK = re.compile(r"(?i)(https?|ftp|mailto|www)([:.])")


def escape(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link."""
    escaped = _SPECIAL.sub(r"\\\1", text)
    return _LIST.sub(r"\1\\\2", _LINK.sub(r"\1\\\2", escaped))


def report_markdown(report: Report, top: int) -> Iterator[str]:
    """The report in pieces of whole lines; details of the ``top`` groups with the most misses."""
    yield f"# udptrace report\n\n{escape(parts.headline(report))}\n"
    if report.groups:
        yield "\n## By cause\n\n"
        head = ("cause", "misses", "incidents", "groups", "meaning")
        yield _table(head, parts.by_cause(report))
    if report.bins:
        yield "\n## Misses over time\n\n"
        yield from _over_time(report)
    incidents = TextRenderer()
    for number, group in enumerate(report.groups[:top], 1):
        yield from _group(number, group, incidents)
    if more := report.groups[top:]:
        misses = many(sum(group.misses for group in more), "miss", "misses")
        yield f"\n{many(len(more), 'further group')} with {misses}: see `--top`\n"
    for trace in report.traces:
        yield f"\n## Trace of {escape(name(trace.host))}\n\n"
        yield _list(f"{label}: {text}" for label, text in parts.trace_facts(trace))
    if report.offsets:
        yield "\n## Clocks\n\n" + _list(map(parts.offset_text, report.offsets))
    yield "\n## Lost, and what that means\n\n" + _list(parts.losses(report))
    if silences := list(parts.silences(report)):
        yield "\n## Died silently\n\n" + _list(silences)


def _over_time(report: Report) -> Iterator[str]:
    """A row for each span in which something missed."""
    causes = [cause for cause, _ in report.bins]
    first = report.bins[0][1]
    rows = [
        (parts.moment_text(first.start + at * first.width), *counts)
        for at, counts in enumerate(zip(*(bins.counts for _, bins in report.bins), strict=True))
        if any(counts)
    ]
    yield _table((f"from (UTC), for {duration_text(first.width)}", *causes), rows)


def _group(number: int, group: Group, incidents: TextRenderer) -> Iterator[str]:
    ends = escape(parts.ends_text(group.key.ends))
    yield f"\n## {number}. {group.key.cause}: {ends}\n\n"
    yield _list(f"{label}: {text}" for label, text in parts.group_facts(group))
    for at, sample in enumerate(group.samples, 1):
        of = f" {at} of {group.incidents}" if group.incidents > 1 else ""
        yield f"\n### Incident{of}\n\n"
        shown = incidents.update(IncidentUpdate(sample.incident, None))
        yield "".join(f"    {text}\n" for text in shown.splitlines())
        yield "\n" + _timeline(sample)


def _timeline(sample: Sample) -> str:
    rows = (
        (clock_text(moment.time), moment.side, parts.moment_words(moment))
        for moment in timeline(sample.incident)
    )
    return _table(("time (UTC)", "side", "what"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head)]
    shown = ["| " + " | ".join(lines[0]) + " |", "| " + " | ".join(lines[1]) + " |"]
    shown += ["| " + " | ".join(escape(str(cell)) for cell in row) + " |" for row in rows]
    return "\n".join(shown) + "\n"


def _list(items: Iterable[str]) -> str:
    return "".join(f"- {escape(item)}\n" for item in items)
