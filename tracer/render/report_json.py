"""A report as JSON: one object a line, the incidents in their own schema (docs/report.md)."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.incident import SCHEMA
from tracer.parts import Json
from tracer.render.json_line import json_line
from tracer.render.jsonl import counters_json, time_text
from tracer.report.doubts import DOUBTS
from tracer.report.model import Bins, Group, Offset, Part, Report, Sample, Trace
from tracer.report.timeline import Moment, timeline


def report_json(report: Report) -> Iterator[str]:
    """The lines: `report` first, then each `group`, after it its `incident` samples."""
    yield json_line(_report(report))
    for number, group in enumerate(report.groups, 1):
        yield json_line(_group(number, group))
        for sample in group.samples:
            yield json_line(_sample(number, sample))


def _report(report: Report) -> Json:
    return {
        "kind": "report",
        "schema": SCHEMA,
        "misses": report.misses,
        "incidents": report.incidents,
        "groups": len(report.groups),
        "rest": {
            "incidents": report.rest.incidents,
            "misses": report.rest.misses,
            "causes": dict(report.rest.causes),
        },
        "over_time": {cause: _bins(bins) for cause, bins in report.bins},
        "traces": [_trace(trace) for trace in report.traces],
        "offsets": [_offset(offset) for offset in report.offsets],
        "not_compared": report.unjoined,
    }


def _trace(trace: Trace) -> Json:
    header = trace.parts[0].header
    return {
        "host": trace.host,
        "boot_id": trace.boot_id,
        "began": time_text(trace.began),
        "ended": time_text(trace.ended),
        "tool": header.tool,
        "version": header.version,
        "kernel": header.kernel,
        "machine": header.machine,
        "argv": list(header.argv),
        "targets": list(trace.target_names),
        "filters": [{"kind": kind, "word": word} for kind, word in trace.selection],
        "probes": list(header.probes),
        "unproven": list(header.unproven),
        "missing": [{"name": name, "reason": reason} for name, reason in header.missing],
        "files": [_part(part) for part in trace.parts],
        "losses": [
            {"what": what, "count": count, "in_doubt": DOUBTS.get(what)}
            for what, count in trace.stats.losses.items()
        ],
        "forgotten": trace.stats.forgotten,
        "silence": [counters_json(part) for part in trace.stats.silence],
        "clock_steps": [
            {"time": time_text(step.time), "step_ns": step.step} for step in trace.clock_steps
        ],
    }


def _part(part: Part) -> Json:
    return {
        "path": part.path,
        "events": part.events,
        "reason": part.reason,
        "problems": list(part.problems),
        "unknown": dict(part.unknown),
        "overlap": part.overlap,
    }


def _offset(offset: Offset) -> Json:
    return {
        "host": offset.host,
        "behind": offset.behind,
        "pairs": offset.pairs,
        "median_ns": offset.median,
        "low_ns": offset.low,
        "high_ns": offset.high,
    }


def _group(number: int, group: Group) -> Json:
    key, culprit, ends = group.key, group.key.culprit, group.key.ends
    return {
        "kind": "group",
        "schema": SCHEMA,
        "group": number,
        "cause": key.cause.value,
        "host": key.host,
        "boot_id": key.boot_id,
        "netns": group.netns.to_json(),
        "culprit": {"kind": culprit.kind, "process": culprit.process, "at": culprit.at},
        "ends": {"src": ends.src, "sport": ends.sport, "dst": ends.dst, "dport": ends.dport},
        "incidents": group.incidents,
        "misses": group.misses,
        "untold": group.untold,
        "uncertain": group.uncertain,
        "joined": group.joined,
        "first": time_text(group.first),
        "last": time_text(group.last),
        "misses_per_s": group.misses_per_s,
        "over_time": group.bins and _bins(group.bins),
        "samples": [sample.incident.id for sample in group.samples],
    }


def _sample(number: int, sample: Sample) -> Json:
    joined = sample.joined
    return {
        **sample.incident.to_json(),
        "group": number,
        "joined": joined
        and {
            "host": joined.host,
            "boot_id": joined.boot_id,
            "id": joined.id,
            "offset_ns": joined.offset,
        },
        "timeline": [_moment(moment) for moment in timeline(sample.incident)],
    }


def _moment(moment: Moment) -> Json:
    return {
        "time": time_text(moment.time),
        "side": moment.side,
        "what": moment.what,
        "by": moment.by and moment.by.to_json(),
        "detail": moment.detail,
    }


def _bins(bins: Bins) -> Json:
    return {"start": time_text(bins.start), "width_ns": bins.width, "counts": list(bins.counts)}
