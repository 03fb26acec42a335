"""Snapshots of rates as a screen of W columns and H lines, as plain lines, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tracer.causes import Cause
from tracer.events import LOSSES
from tracer.incident import SCHEMA, datagram_json
from tracer.parts import Json, Socket
from tracer.render import phrases
from tracer.render.escape import KEEP, cut, line, name, width
from tracer.render.json_line import json_line
from tracer.render.jsonl import time_text
from tracer.render.wrap import wrap
from tracer.summary import many
from tracer.timefmt import NS
from tracer.top.model import By, Entry, Figure, Row, Snapshot
from tracer.top.rows import process_of, unserved

KEYS = "m misses  e errors  d drops  n name  b group by  space pause  q quit"

UNKNOWN = "?"

_WIDE = 120
"""Columns of a terminal from which on the totals of errors and drops have room."""

_STATUS_LINES = 3


class _Column(NamedTuple):
    head: str
    text: Callable[[Row, Snapshot], str]


def _drops(row: Row) -> Figure:
    return row.drops


def _rate(of: Callable[[Row], Figure]) -> Callable[[Row, Snapshot], str]:
    def text(row: Row, snapshot: Snapshot) -> str:
        rate = of(row).rate(snapshot.span_ns)
        if rate is None:
            return _unknown(row, of)
        return f"{rate:.1f}" if 0 < rate < 9.95 else f"{rate:.0f}"

    return text


def _unknown(row: Row, of: Callable[[Row], Figure]) -> str:
    """What is not known; without a socket there are no drops to know of."""
    return "-" if of is _drops and row.worst.socket is None else UNKNOWN


def _total(of: Callable[[Row], Figure]) -> Callable[[Row, Snapshot], str]:
    def text(row: Row, snapshot: Snapshot) -> str:
        total = of(row).total
        return _unknown(row, of) if total is None else str(total)

    return text


_NUMBERS = (
    _Column("MISS/S", _rate(lambda row: row.misses)),
    _Column("ERR/S", _rate(lambda row: row.errors)),
    _Column("DROP/S", _rate(_drops)),
    _Column("MISSES", _total(lambda row: row.misses)),
)
_MORE_NUMBERS = (
    _Column("ERRORS", _total(lambda row: row.errors)),
    _Column("DROPS", _total(_drops)),
)


def _causes(row: Row, snapshot: Snapshot) -> str:
    """One cause, or of several that of most misses and how many more."""
    if not row.causes:
        return "-"
    more = f" +{len(row.causes) - 1}" if len(row.causes) > 1 else ""
    return row.causes[0] + ("" if _is_certain(row.worst) else "?") + more


def _cause(row: Row, snapshot: Snapshot) -> str:
    """That of the latest incident of a flow."""
    incident = row.worst.incident
    return _causes(row, snapshot) if incident is None else _marked(incident.cause, row.worst)


def _marked(cause: Cause, entry: Entry) -> str:
    return cause.value + ("" if _is_certain(entry) else "?")


def _is_certain(entry: Entry) -> bool:
    return entry.incident is None or entry.incident.certain


def _flow(row: Row, snapshot: Snapshot) -> str:
    return line(row.worst.flow or "-")


def _netns(row: Row, snapshot: Snapshot) -> str:
    return phrases.namespace(row.worst.netns)


def _holders(socket: Socket | None) -> str:
    return "-" if socket is None else phrases.holders(socket)


def _socket(row: Row, snapshot: Snapshot) -> str:
    socket = row.worst.socket
    return f"no socket for {line(unserved(row.worst))}" if socket is None else phrases.ends(socket)


def _process(row: Row, snapshot: Snapshot) -> str:
    process = process_of(row.worst)
    if process is None:
        return "process unknown"
    return phrases.process(process) + ("" if row.worst.socket is not None else " (sends)")


def _sender(row: Row, snapshot: Snapshot) -> str:
    incident = row.worst.incident
    return "-" if incident is None or incident.origin is None else _holders(incident.origin)


_FLOW, _NETNS = _Column("FLOW", _flow), _Column("NETNS", _netns)
_FLOWS = _Column("FLOWS", lambda row, snapshot: str(row.flows))
_HELD = _Column("HELD BY", lambda row, snapshot: _holders(row.worst.socket))
_SENT = _Column("SENT BY", _sender)
_CAUSES, _WORST = _Column("CAUSE", _causes), _Column("WORST FLOW", _flow)

_COLUMNS: dict[By, tuple[_Column, ...]] = {
    "flow": (_Column("CAUSE", _cause), _FLOW, _HELD, _SENT, _NETNS),
    "socket": (_CAUSES, _Column("SOCKET", _socket), _HELD, _NETNS, _FLOWS),
    "netns": (_CAUSES, _NETNS, _FLOWS, _WORST),
    "process": (_CAUSES, _Column("PROCESS", _process), _FLOWS, _WORST),
}


def status(snapshot: Snapshot, table: Sequence[Row]) -> str:
    """How long it has run, what was counted, and what was lost or is in doubt."""
    entries = snapshot.entries
    misses = sum(e.misses.total or 0 for e in entries) + snapshot.forgotten_misses
    flows = sum(e.incident is not None for e in entries)
    parts = [f"{many(misses, 'miss', 'misses')} in {many(flows, 'flow')}"]
    if doubtful := sum(not _is_certain(entry) for entry in entries):
        parts.append(f"{doubtful} in doubt (?)")
    lost = [f"{n} {LOSSES.get(what) or name(what)}" for what, n in snapshot.stats.losses.items()]
    parts.append(f"lost: {', '.join(lost)}" if lost else "nothing lost")
    if snapshot.forgotten_flows:
        parts.append(
            f"left out: {many(snapshot.forgotten_flows, 'flow')} with"
            f" {many(snapshot.forgotten_misses, 'miss', 'misses')}"
        )
    forgotten = [f"{n} {what}" for what, n in snapshot.stats.forgotten.items()]
    parts += [f"forgotten to bound memory: {', '.join(forgotten)}"] if forgotten else []
    parts += snapshot.undropped
    if hidden := _hidden_drops(entries, table):
        parts.append(f"{hidden} dropped by sockets of no flow (b: by socket)")
    span = f", the last {snapshot.span_ns / NS:.3f} s" if snapshot.final else ""
    return f"{snapshot.age_ns // NS} s{span}: {'; '.join(parts)}"


def _hidden_drops(entries: Sequence[Entry], table: Sequence[Row]) -> int:
    """What was dropped in the interval by sockets that a table of flows has no row for."""
    if table and table[0].by != "flow":
        return 0
    return sum(entry.drops.new or 0 for entry in entries if entry.incident is None)


def screen(
    snapshot: Snapshot | None,
    table: Sequence[Row],
    by: By,
    title: str,
    columns: int,
    height: int,
    limit: int | None = None,
) -> tuple[list[str], int]:
    """Lines for a terminal of ``columns`` and ``height``; which of them is the heads', -1 for none.

    ``limit``: no more rows than these. The last line is that of the keys; where there is no room
    for all, rows give way first.
    """
    told = "waiting for the first interval to end" if snapshot is None else status(snapshot, table)
    wrapped = list(wrap(told, "", "  ", max(8, columns)))
    more = [f"{wrapped[_STATUS_LINES - 1]} ..."] if len(wrapped) > _STATUS_LINES else []
    top = [title, *wrapped[: _STATUS_LINES - len(more)], *more]
    room = height - len(top) - 2  # without the heads and the keys
    body: list[str] = []
    if snapshot is not None and room >= 0:
        fits = len(table) <= min(room, limit or room)
        shown = table if fits else table[: max(0, min(room - 1, limit or room))]
        body = _table(snapshot, shown, by, columns)
        if not fits and room > 0:
            body.append(many(len(table) - len(shown), "more row"))
    lines = [*top, *body][: max(0, height - 1)]
    lines += [""] * (height - 1 - len(lines))
    return [cut(text, columns) for text in [*lines, KEYS][:height]], len(top) if body else -1


def _table(snapshot: Snapshot, table: Sequence[Row], by: By, columns: int) -> list[str]:
    """The heads and the rows in columns as wide as they need; a flow fits into 80."""
    wide = columns >= _WIDE
    numbers = _NUMBERS + (_MORE_NUMBERS if wide else ())
    wanted = numbers + _COLUMNS[by]
    cells = [[column.head for column in wanted]]
    cells += [[column.text(row, snapshot) for column in wanted] for row in table]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    return [_line(row, widths, len(numbers), "  " if wide else " ") for row in cells]


def _line(cells: Sequence[str], widths: Sequence[int], numbers: int, gap: str) -> str:
    padding = [" " * (w - width(cell)) for cell, w in zip(cells, widths, strict=True)]
    right = [pad + cell for cell, pad in zip(cells[:numbers], padding, strict=False)]
    left = [cell + pad for cell, pad in zip(cells[numbers:], padding[numbers:], strict=True)]
    return gap.join([*right, *left]).rstrip().replace(KEEP, " ")


def plain(snapshot: Snapshot, by: By, table: Sequence[Row], limit: int | None = None) -> str:
    """A block of whole lines: the time, the status, the rows, an empty line."""
    when = phrases.clock(snapshot.time, snapshot.mono_ns)
    shown = table[:limit]
    lines = [f"{when}  {status(snapshot, table)}"]
    if shown:
        lines += _table(snapshot, shown, by, _WIDE)
    if len(shown) < len(table):
        lines.append(many(len(table) - len(shown), "more row"))
    return "".join(f"{text}\n" for text in [*lines, ""])


def jsonl(snapshot: Snapshot, by: By, table: Sequence[Row], limit: int | None = None) -> str:
    """A line that sums up the interval, then a line a row."""
    stamp: Json = {
        "schema": SCHEMA,
        "time": time_text(snapshot.time),
        "mono_ns": snapshot.mono_ns,
    }
    interval: Json = {
        "kind": "interval",
        **stamp,
        "age_ns": snapshot.age_ns,
        "span_ns": snapshot.span_ns,
        "final": snapshot.final,
        "by": by,
        "rows": len(table),
        "losses": snapshot.stats.losses,
        "forgotten": snapshot.stats.forgotten,
        "left_out": {"flows": snapshot.forgotten_flows, "misses": snapshot.forgotten_misses},
        "not_known": list(snapshot.undropped),
    }
    shown = enumerate(table[:limit], 1)
    lines = [{"kind": "top", **stamp, **_row_json(rank, row, snapshot)} for rank, row in shown]
    return "".join(json_line(value) for value in [interval, *lines])


def _row_json(rank: int, row: Row, snapshot: Snapshot) -> Json:
    worst = row.worst
    incident = worst.incident
    return {
        "rank": rank,
        "by": row.by,
        "flows": row.flows,
        "causes": list(row.causes),
        "misses": _figure_json(row.misses, snapshot),
        "errors": _figure_json(row.errors, snapshot),
        "drops": _figure_json(row.drops, snapshot),
        "incident": incident and incident.id,
        "datagram": incident and datagram_json(incident.datagram),
        "cause": incident and incident.cause.value,
        "certain": incident and incident.certain,
        "netns": worst.netns.to_json(),
        "socket": worst.socket and worst.socket.to_json(),
        "origin": incident and incident.origin and incident.origin.to_json(),
    }


def _figure_json(figure: Figure, snapshot: Snapshot) -> Json:
    rate = figure.rate(snapshot.span_ns)
    return {
        "per_second": None if rate is None else round(rate, 3),
        "new": figure.new,
        "total": figure.total,
    }
