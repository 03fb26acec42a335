"""What changed between two recordings, as text and as JSON lines (docs/report.md)."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.incident import SCHEMA
from tracer.parts import Json
from tracer.render import report_parts as parts
from tracer.render.json_line import json_line
from tracer.render.phrases import sentence
from tracer.render.wrap import wrap
from tracer.report.diff import ORDER, Change, Diff, Side, What
from tracer.summary import many

COLUMNS = 80

_TITLES: dict[What, str] = {
    "new": "New",
    "more": "More often",
    "less": "Less often",
    "same": "As before",
    "gone": "Gone",
}


def diff_text(diff: Diff) -> Iterator[str]:
    """The diff in pieces of whole lines."""
    for label, side in (("before", diff.before), ("after", diff.after)):
        misses = many(side.misses, "miss", "misses")
        yield f"{label:<8}{misses} in {side.seconds:,.0f} s, {_rate(side)}\n"
    for what in ORDER:
        changes = [change for change in diff.changes if change.what == what]
        if changes:
            yield f"\n{_TITLES[what]}\n"
        for change in changes:
            yield "".join(f"{text}\n" for text in _change(change))
    if not diff.changes:
        yield "\nnothing missed in either\n"
    if diff.not_compared:
        yield f"\n{many(diff.not_compared, 'incident')} of further groups not compared\n"


def _change(change: Change) -> Iterator[str]:
    key = change.key
    yield from wrap(f"{key.cause}  {parts.ends_text(key.ends)}", "  ", "      ", COLUMNS)
    culprit = f"{parts.culprit_text(key.culprit)}, {sentence(key.netns)}"
    yield from wrap(culprit, "    ", "      ", COLUMNS)
    before, after = change.before, change.after
    counts = f"{before.misses} -> {many(after.misses, 'miss', 'misses')}"
    yield from wrap(f"{counts}, {_rate(before)} -> {_rate(after)}", "    ", "      ", COLUMNS)


def _rate(side: Side) -> str:
    return f"{side.rate:.3g}/s"


def diff_json(diff: Diff) -> Iterator[str]:
    """A `diff` line, then a `change` line for each group of incidents."""
    yield json_line(
        {
            "kind": "diff",
            "schema": SCHEMA,
            "before": _side(diff.before),
            "after": _side(diff.after),
            "more": diff.more,
            "changes": {what: diff.count(what) for what in ORDER},
            "not_compared": diff.not_compared,
        }
    )
    for change in diff.changes:
        yield json_line(_change_json(change))


def _change_json(change: Change) -> Json:
    key = change.key
    return {
        "kind": "change",
        "schema": SCHEMA,
        "change": change.what,
        "cause": key.cause.value,
        "netns": key.netns,
        "culprit": key.culprit._asdict(),
        "ends": key.ends._asdict(),
        "before": _side(change.before),
        "after": _side(change.after),
    }


def _side(side: Side) -> Json:
    return {"misses": side.misses, "seconds": side.seconds, "misses_per_s": side.rate}
