"""The parts of a report in words, the same in text, Markdown and HTML: made safe, not laid out."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.addresses import endpoint
from tracer.causes import Cause
from tracer.events import LOSSES
from tracer.render import phrases
from tracer.render.escape import line, name
from tracer.render.silence import silence_lines
from tracer.report.doubts import DOUBTS, doubts
from tracer.report.model import Culprit, Ends, Group, Offset, Part, Report, Trace
from tracer.report.timeline import Moment
from tracer.summary import many
from tracer.timefmt import duration_text, utc_text

Fact = tuple[str, str]
"""A label and what there is to say under it."""


def headline(report: Report) -> str:
    """The whole report in one line."""
    parts = [many(report.misses, "miss", "misses"), many(report.incidents, "incident")]
    hosts = many(len({trace.boot_id for trace in report.traces}), "trace")
    more = " and more" if report.rest.incidents else ""
    return f"{parts[0]} in {parts[1]}, {many(len(report.groups), 'group')}{more}, {hosts}"


def by_cause(report: Report) -> list[tuple[str, int, int, int, str]]:
    """(cause, misses, incidents, groups, meaning) of each cause there is, most misses first."""
    rows = []
    rest = dict(report.rest.causes)
    for cause in Cause:
        groups = [group for group in report.groups if group.key.cause is cause]
        misses = sum(group.misses for group in groups) + rest.get(cause.value, 0)
        incidents = sum(group.incidents for group in groups)
        if misses or incidents:
            rows.append((cause.value, misses, incidents, len(groups), cause.meaning))
    return sorted(rows, key=lambda row: -row[1])


def moment_text(utc: int | None) -> str:
    """``2026-11-22 20:49:10.050`` in UTC."""
    return "not known" if utc is None else utc_text(utc)[:23].replace("T", " ")


def span_text(first: int | None, last: int | None) -> str:
    """From when to when; the date once where it is the same."""
    if first is None or last is None or first == last:
        return moment_text(first if first is not None else last)
    start, end = moment_text(first), moment_text(last)
    return f"{start} to {end.removeprefix(start[:11])} ({duration_text(last - first)})"


# Groups


def ends_text(ends: Ends) -> str:
    """``10.0.0.1:* > 10.0.0.2:53``; an asterisk is a port that the kernel chooses anew."""
    return phrases.sentence(f"{_end(ends.src, ends.sport)} > {_end(ends.dst, ends.dport)}")


def _end(address: str, port: int | None) -> str:
    return endpoint(address, 0)[:-1] + "*" if port is None else endpoint(address, port)


def culprit_text(culprit: Culprit) -> str:
    """Who refused."""
    at = phrases.sentence(culprit.at)
    if culprit.kind == "socket":
        who = name(culprit.process) if culprit.process is not None else "a process not known"
        return f"{who} on {at}"
    if culprit.kind == "nobody":
        return f"nobody on {at}"
    return f"machine {at}" if culprit.kind == "machine" else f"{name(culprit.at)} sent the ICMP"


def rate_text(group: Group) -> str:
    """How often, and where the rest of the incidents is."""
    rate = group.misses_per_s
    counts = f"{many(group.misses, 'miss', 'misses')} in {many(group.incidents, 'incident')}"
    return counts if rate is None else f"{counts}, {rate:.3g} a second"


def group_facts(group: Group) -> list[Fact]:
    """What to know of a group, beside its incidents."""
    where = phrases.namespace(group.netns).replace("\u00a0", " ")
    facts = [
        ("culprit", f"{culprit_text(group.key.culprit)}, {where} on {name(group.key.host)}"),
        ("ends", ends_text(group.key.ends)),
        ("count", rate_text(group)),
        ("when", f"{span_text(group.first, group.last)} UTC"),
    ]
    if group.joined:
        facts.append(("joined", f"{many(group.joined, 'incident')} with another host's recording"))
    if group.untold:
        facts.append(("told to nobody", many(group.untold, "miss", "misses")))
    if group.uncertain:
        facts.append(("in doubt", f"the verdict of {many(group.uncertain, 'incident')}"))
    return facts


_WORDS = {
    "datagram": "the datagram misses",
    "repeat": "missed again",
    "icmp": "ICMP",
    "error": "told",
    "close": "closed",
}


def moment_words(moment: Moment) -> str:
    """``connect(10.0.0.9:53) by nc[3467]``."""
    by = f" by {phrases.process(moment.by)}".replace("\u00a0", " ") if moment.by else ""
    detail = phrases.sentence(moment.detail) if moment.detail else ""
    if moment.what == "error":
        return f"told {detail}{by.replace(' by ', ': ')}"
    if moment.what == "repeat":
        return f"missed for the last time, of {detail}"
    if moment.what in _WORDS:
        return f"{_WORDS[moment.what]} {detail}".rstrip() + by
    return f"{moment.what}({detail}){by}"


# Traces


def trace_facts(trace: Trace) -> list[Fact]:
    """The machine, the probes, the files."""
    first = trace.parts[0].header
    facts = [
        ("machine", f"{name(first.host)}, Linux {name(first.kernel)}, {name(first.machine)}"),
        ("boot", name(trace.boot_id)),
        ("made by", f"{name(first.tool)} {name(first.version)}: {_argv(first.argv)}"),
        ("time", f"{span_text(trace.began, trace.ended)} UTC"),
    ]
    facts += [("file", _file(part)) for part in trace.parts]
    facts.append(("probes", f"{len(first.probes)} proven{_unproven(first.unproven)}"))
    facts += [
        ("without", f"{name(probe)}: {phrases.sentence(reason)}") for probe, reason in first.missing
    ]
    limits = [name(target) for target in trace.target_names]
    limits += [f"{name(kind)} {name(word)}" for kind, word in trace.selection]
    if limits:
        facts.append(("only", ", ".join(limits)))
    facts += [("clock", _step(step.time, step.step)) for step in trace.clock_steps]
    return facts


def _argv(argv: tuple[str, ...]) -> str:
    return phrases.sentence(" ".join(name(word, 80) for word in argv))


def _unproven(names: tuple[str, ...]) -> str:
    return f"; attached, not provable: {', '.join(map(name, names))}" if names else ""


def _file(part: Part) -> str:
    reason = f"ended: {phrases.sentence(part.reason)}" if part.reason else "no end record"
    return f"{name(part.path, 200)}, {many(part.events, 'event')}, {reason}"


def _step(when: int, step: int) -> str:
    way = "forwards" if step > 0 else "back"
    return f"the wall clock was set {way} by {duration_text(abs(step))} before {moment_text(when)}"


# What was lost, and what that means


def losses(report: Report) -> Iterator[str]:
    """A line for each thing lost, with what it casts doubt on; one line where nothing was."""
    said = False
    for trace in report.traces:
        of = f"{name(trace.host)}: " if len(report.traces) > 1 else ""
        for what, count in trace.stats.losses.items():
            said = True
            words = LOSSES.get(what) or name(what)
            yield f"{of}lost: {count} {words}. In doubt: {DOUBTS.get(what, 'not known here')}"
        for text in doubts(trace):
            said = True
            yield of + line(text)
    if report.rest.incidents:
        said = True
        yield (
            f"{many(report.rest.incidents, 'incident')} of further groups are only counted:"
            f" {', '.join(f'{misses} {cause}' for cause, misses in report.rest.causes)}"
        )
    if report.unjoined:
        said = True
        yield f"{report.unjoined} incidents were not compared with other hosts: too many"
    if not said:
        yield "nothing was lost"


def silences(report: Report) -> Iterator[str]:
    """What died without any ICMP."""
    for trace in report.traces:
        of = f"{name(trace.host)}: " if len(report.traces) > 1 else ""
        for text in silence_lines(trace.stats.silence):
            yield of + text.replace("\u00a0", " ")


def offset_text(offset: Offset) -> str:
    """How far two clocks are apart, and from what that is known."""
    return (
        f"the clock of {name(offset.host)} is {_ms(offset.median)} ms ahead of"
        f" {name(offset.behind)}'s, by {many(offset.pairs, 'incident')} that both recorded"
        f" ({_ms(offset.low)} to {_ms(offset.high)} ms; the way of the ICMP is in it)"
    )


def _ms(ns: int) -> str:
    return f"{ns / 1_000_000:.3f}"
