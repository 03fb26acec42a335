"""The sequence diagram of an incident as shapes: lanes of network namespaces, and what happened.

Only where things are and what they say; how they are drawn is in page/report.html.j2. Units are CSS
pixels; the text is in a fixed-width font, so that its width is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracer.addresses import endpoint
from tracer.causes import Cause
from tracer.incident import Incident
from tracer.parts import Netns, Socket
from tracer.render import phrases, report_parts
from tracer.render.escape import name
from tracer.render.wrap import wrap
from tracer.report.model import Sample
from tracer.report.timeline import Moment, timeline
from tracer.timefmt import clock_text

CHARACTER = 7.3
"""Width of a character of 12 px in the usual fixed-width fonts."""
LINE = 16
GUTTER = 104
"""Width of the times on the left."""
LANES = 760
"""Width of all lanes together."""
_WIDTH = GUTTER + LANES
_PAD = 12
_ROWS = 40
"""Moments that are drawn, the latest; the table below has all of them."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A network namespace with the socket in it: a head, and a line down from it at ``x``."""

    x: float
    left: float
    width: float
    head: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A moment: at ``y``, on the lane at ``x`` or as an arrow from there to ``to``.

    ``label`` begins at ``text_x`` and its first line is above ``y`` for an arrow.
    """

    what: str
    time: str
    y: float
    x: float
    to: float | None
    text_x: float
    text_y: float
    label: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """All of it; ``words`` say the same to who does not see it."""

    width: float
    height: float
    head: float
    lanes: tuple[Lane, ...]
    rows: tuple[Row, ...]
    words: tuple[str, ...]
    left_out: int


def diagram(sample: Sample) -> Diagram:
    """The diagram of an incident."""
    incident = sample.incident
    heads = _heads(incident, sample)
    width = LANES / len(heads)
    limit = int((width - 2 * _PAD) / CHARACTER)
    wrapped = [_wrapped(head, limit) for head in heads]
    lanes = tuple(
        Lane(GUTTER + at * width + width * 0.14, GUTTER + at * width, width - _PAD, head)
        for at, head in enumerate(wrapped)
    )
    head = LINE * max(map(len, wrapped)) + 14
    moments = timeline(incident)
    rows, y = [], head + 14.0
    for moment in moments[-_ROWS:]:
        for row in _rows(moment, incident, lanes):
            height = LINE * len(row.label) + 12
            rows.append(_at(row, y))
            y += height
    return Diagram(
        width=_WIDTH,
        height=y + 10,
        head=head,
        lanes=lanes,
        rows=tuple(rows),
        words=tuple(f"{clock_text(m.time)} {report_parts.moment_words(m)}" for m in moments),
        left_out=max(0, len(moments) - _ROWS),
    )


def _at(row: Row, y: float) -> Row:
    """The row moved down to ``y``: an arrow below its label, a dot beside the first line of it."""
    lines = len(row.label)
    shape = y + LINE * lines + 2 if row.to is not None else y + LINE / 2
    return Row(row.what, row.time, shape, row.x, row.to, row.text_x, y + LINE - 4, row.label)


def _heads(incident: Incident, sample: Sample) -> list[list[str]]:
    """What each lane is: the sender's namespace, one that translates, the receiver's."""
    d, nat = incident.datagram, incident.nat
    sent_from = nat or d
    sender = [
        "not known on this machine",
        phrases.sentence(endpoint(sent_from.src, sent_from.sport)),
    ]
    if incident.origin is not None:
        sender = _socket(incident.origin, sample.joined.host if sample.joined else None)
    if incident.cause is Cause.REMOTE:
        by = incident.icmp.sender or "not known"
        receiver = [
            "another machine",
            phrases.sentence(by),
            phrases.sentence(f"for {endpoint(d.dst, d.dport)}"),
        ]
    elif incident.socket is not None:
        receiver = _socket(incident.socket)
    else:
        where = phrases.namespace(incident.netns)
        receiver = [where, phrases.sentence(f"no socket took {endpoint(d.dst, d.dport)}")]
    translates = [[phrases.namespace(netns), "translates"] for netns in _third(incident)]
    return [sender, *translates, receiver]


def _third(incident: Incident) -> list[Netns]:
    """The namespace that translates, where it is neither the sender's nor the receiver's."""
    ends = [incident.netns.inum, incident.origin.netns.inum if incident.origin else None]
    nat = incident.nat
    return [nat.netns] if nat is not None and nat.netns.inum not in ends else []


def _socket(socket: Socket, host: str | None = None) -> list[str]:
    where = phrases.namespace(socket.netns) + (f" on {name(host)}" if host else "")
    return [where, phrases.holders(socket), phrases.ends(socket)]


def _wrapped(texts: Sequence[str], limit: int) -> tuple[str, ...]:
    return tuple(piece for text in texts for piece in wrap(text, "", "  ", limit))


def _rows(moment: Moment, incident: Incident, lanes: tuple[Lane, ...]) -> list[Row]:
    """A moment as one row, or two where a translation is on the way."""
    time = clock_text(moment.time)
    if moment.what == "datagram":
        hops = list(pairwise(lanes))
        labels = _datagram_labels(incident, len(hops))
        return [
            _arrow("datagram" if here is lanes[-2] else "hop", time, here, there, label)
            for (here, there), label in zip(hops, labels, strict=True)
        ]
    if moment.what == "icmp":
        label = report_parts.moment_words(moment)
        return [_arrow("icmp", time, lanes[-1], lanes[0], label)]
    lane, until = (lanes[0], lanes[1].x) if moment.side == "sender" else (lanes[-1], _WIDTH)
    room = int((until - lane.x - 2 * _PAD) / CHARACTER)
    label_lines = _wrapped([report_parts.moment_words(moment)], room)
    return [Row(moment.what, time, 0, lane.x, None, lane.x + 10, 0, label_lines)]


def _datagram_labels(incident: Incident, hops: int) -> list[str]:
    """The datagram's ends on each hop."""
    d, nat = incident.datagram, incident.nat
    arrived = phrases.sentence(f"{endpoint(d.src, d.sport)} > {endpoint(d.dst, d.dport)}")
    if nat is None:
        return [arrived] * hops
    before = phrases.before_nat(nat)
    return [before, arrived] if hops == 2 else [f"{arrived} (before NAT: {before})"]


def _arrow(what: str, time: str, start: Lane, end: Lane, label: str) -> Row:
    room = int((abs(end.x - start.x) - 2 * _PAD) / CHARACTER)
    left = min(start.x, end.x) + _PAD
    return Row(what, time, 0, start.x, end.x, left, 0, _wrapped([label], room))
