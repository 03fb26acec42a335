"""The findings of `udptrace doctor`: aligned lines for a person, JSON lines for a script."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import click

from tracer.errors import StartError
from tracer.findings import Finding
from tracer.incident import SCHEMA
from tracer.parts import Json
from tracer.render.escape import line, shorten, width
from tracer.render.wrap import wrap
from tracer.summary import many

_COLUMNS = 80
_UNKNOWN = "unknown"
_COLORS = {"ok": "green", "degraded": "yellow", "broken": "red", _UNKNOWN: "cyan"}
_INDENT = " " * 10

# Longest text printed, in characters: parts of it come from the system.
_LIMIT = 600


def text(findings: Sequence[Finding], failure: StartError | None, *, color: bool) -> str:
    """A line for each finding, the status first; then what it comes to."""
    names = max(width(line(finding.name)) for finding in findings)
    rows = [row for finding in findings for row in _finding(finding, names, color)]
    return "\n".join([*rows, _conclusion(findings, failure)])


def jsonl(findings: Iterable[Finding], failure: StartError | None) -> str:
    """One object a line: each finding, then what they come to."""
    values = [_json(finding) for finding in findings]
    counts = Counter(value["status"] for value in values)
    values.append(
        {
            "kind": "doctor",
            "schema": SCHEMA,
            "starts": failure is None,
            "reason": None if failure is None else str(failure),
            **{status: counts[status] for status in ("ok", "degraded", "broken")},
            _UNKNOWN: counts[None],
        }
    )
    return "".join(json.dumps(value, ensure_ascii=True) + "\n" for value in values)


def _json(finding: Finding) -> Json:
    return {
        "kind": "finding",
        "schema": SCHEMA,
        "name": finding.name,
        "status": finding.status,
        "detail": finding.detail,
        "lost": finding.lost or None,
        "remedy": finding.remedy or None,
        "facts": dict(finding.facts),
    }


def _finding(finding: Finding, names: int, color: bool) -> Iterator[str]:
    status = finding.status or _UNKNOWN
    name = line(finding.name)
    start = f"{status:<{len(_INDENT)}}{name}{' ' * (names - width(name))}  "
    rows = wrap(_safe(finding.detail), start, " " * width(start), _COLUMNS)
    for number, row in enumerate(rows):
        painted = color and number == 0
        yield row.replace(status, click.style(status, fg=_COLORS[status]), 1) if painted else row
    for label, words in (("lost", finding.lost), ("remedy", finding.remedy)):
        if words:
            yield from wrap(f"{label}: {_safe(words)}", _INDENT, _INDENT + "  ", _COLUMNS)


def _conclusion(findings: Iterable[Finding], failure: StartError | None) -> str:
    counts = Counter(finding.status or _UNKNOWN for finding in findings)
    present = [status for status in ("broken", "degraded", _UNKNOWN) if counts[status]]
    told = [f"{counts[status]} {status}" for status in present]
    if told:
        first = counts[present[0]]
        told[0] = f"{many(first, 'thing')} {'is' if first == 1 else 'are'} {present[0]}"
    starts = "a live trace would start" if failure is None else "a live trace would not start"
    return f"{starts}; {', '.join(told) or 'nothing is lost'}\n"


def _safe(text: str) -> str:
    return line(shorten(text, _LIMIT))
