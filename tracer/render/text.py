"""Incidents for a person at a terminal: a few lines each, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tracer.addresses import endpoint
from tracer.advice import explain
from tracer.causes import Cause
from tracer.events import LOSSES, Clock, End, Event, Header, Loss, TargetChange
from tracer.incident import Incident
from tracer.link import IncidentUpdate
from tracer.parts import Socket
from tracer.render import phrases
from tracer.render.blocks import INDENT, Blocks
from tracer.render.escape import line, name
from tracer.render.folds import Fold, Folds
from tracer.render.silence import silence_lines
from tracer.render.wrap import wrap
from tracer.summary import many
from tracer.timefmt import NS, Anchor, date_text
from tracer.totals import Stats

# What the socket named is to the miss.
_ROLE = {Cause.CLOSED: "held by", Cause.RACE: "missed", Cause.CONNECT_RACE: "missed"}

# What going beyond a limit means for what comes after.
_FORGOTTEN = {"incidents": "incidents (a repeat begins a new one)"}


class TextRenderer(Blocks):
    """Renders a trace in order. Each method returns whole lines, or nothing.

    ``fold``: of many incidents alike, such as a port scan's, only the first are told.
    """

    def __init__(self, *, color: bool = False, columns: int = 80, fold: bool = False) -> None:
        super().__init__(color=color, columns=columns)
        self._folds = Folds() if fold else None
        self._anchor: Anchor | None = None
        self._date = ""
        self._following = False

    def event(self, event: Event) -> str:
        """The header, the losses and how targets fare; other events show in the incidents."""
        if isinstance(event, Header | Clock):
            self._anchor = Anchor.of(event)
        if isinstance(event, Header):
            return self._text(self._header(event))
        if isinstance(event, TargetChange):
            return self._text(self._target(event))
        if isinstance(event, End) and self._folds is not None:
            return self._text([text for fold in self._folds.untold() for text in self._fold(fold)])
        return self._text(self._loss(event)) if isinstance(event, Loss) else ""

    def update(self, update: IncidentUpdate) -> str:
        """An incident, in full when it is new, in a line when it goes on."""
        fold = self._folds.take(update) if self._folds is not None else None
        if fold is not None:
            return self._text(self._fold(fold)) if fold.is_due() else ""
        incident, previous = update.incident, update.previous
        when = incident.time if previous is None else incident.last_time
        lines = list(self._new_date(when))
        if previous is None or not _same_verdict(previous, incident):
            lines += self._incident(incident)
        else:
            lines += self._again(incident, previous)
        return self._text(lines)

    def end(self, stats: Stats) -> str:
        """The summary, and what died silently."""
        lines = list(wrap(_summary(stats), "", "  ", self._columns))
        for text in silence_lines(stats.silence):
            lines += wrap(text, "", "  ", self._columns)
        return self._text(lines)

    # The parts of a trace

    def _header(self, header: Header) -> Iterator[str]:
        self._date = date_text(header.realtime_ns)
        whole = f"{self._date} UTC  {name(header.tool)} {name(header.version)} on "
        whole += f"{name(header.host)}, Linux {name(header.kernel)}"
        yield from wrap(whole, "", "  ", self._columns)
        self._following = bool(header.following)
        if header.target_names or header.following:
            words = [name(target) for target in header.target_names]
            words += [f"container {name(spec)}" for spec in header.following]
            targets = ", ".join(words)
            yield from wrap(f"only what concerns {targets}", "", "  ", self._columns)
        for probe, reason in header.missing:
            text = f"without {name(probe)}: {phrases.sentence(reason)}"
            yield from wrap(text, "", "  ", self._columns)

    def _new_date(self, when: int | None) -> Iterator[str]:
        """A line when the day has changed since the last one printed."""
        date = date_text(when) if when is not None else ""
        if date != self._date:
            self._date = date
            yield f"{date} UTC"

    def _loss(self, loss: Loss) -> Iterator[str]:
        when = self._anchor.utc(loss.time) if self._anchor else None
        yield from self._new_date(when)
        words = LOSSES.get(loss.what) or name(loss.what)
        text = f"{phrases.clock(when, loss.time)} lost: {loss.count} {words}"
        yield from self._painted(wrap(text, "", "    ", self._columns), "lost", fg="yellow")

    def _target(self, change: TargetChange) -> Iterator[str]:
        """A container that was asked for has started or ended."""
        if not self._following:
            return
        when = self._anchor.utc(change.time) if self._anchor else None
        yield from self._new_date(when)
        where = f" in netns {change.inum}" if change.state == "started" else ""
        text = f"{phrases.clock(when, change.time)} {change.state:<14}  "
        text += phrases.container(change.container) + where
        lines = wrap(text, "", "    ", self._columns)
        yield from self._painted(lines, change.state, fg="cyan")

    def _incident(self, incident: Incident) -> Iterator[str]:
        yield from self._headline(incident, incident.time, phrases.namespace(incident.netns))
        yield from self._nat(incident)
        yield from self._verdict(incident)
        yield from self._origin(incident)
        for told in incident.told:
            yield from self._block("told", phrases.told(told, incident))
        yield from self._nobody(incident)
        for hint in incident.hints:
            yield from self._block("hint", phrases.sentence(hint))
        yield from self._doubt(incident, incident.caveats)
        for advice in incident.advice:
            yield from self._block("do", phrases.sentence(advice))

    def _again(self, incident: Incident, previous: Incident) -> Iterator[str]:
        """A repeat: its count, and only what was not known when it was printed last."""
        since = f"since {phrases.clock(incident.time, incident.mono_ns)}"
        lines = list(self._headline(incident, incident.last_time, since))
        yield from lines if len(lines) == 1 else self._headline(incident, incident.last_time)
        if previous.nat is None:
            yield from self._nat(incident)
        if incident.socket and incident.socket.processes and not _holder_known(previous):
            yield from self._block(_role(incident), self._socket(incident.socket))
        if incident.netns.containers and not previous.netns.containers:
            yield from self._block("in", phrases.namespace(incident.netns))
        if incident.origin is not None and _is_news(incident.origin, previous.origin):
            yield from self._origin(incident)
        for told in incident.told[len(previous.told) :]:
            yield from self._block("told", phrases.told(told, incident))
        if not phrases.nobody(previous):
            yield from self._nobody(incident)
        news = [caveat for caveat in incident.caveats if caveat not in previous.caveats]
        yield from self._doubt(incident, news)

    def _headline(self, incident: Incident, when: int | None, tail: str = "") -> Iterator[str]:
        d = incident.datagram
        flow = line(f"{endpoint(d.src, d.sport)} > {endpoint(d.dst, d.dport)}")
        cause = _cause(incident)
        times = f"{incident.count} times" if incident.count > 1 else ""
        start = f"{phrases.clock(when, incident.mono_ns)} {cause:<14}"
        parts = [self._together(part, 4) for part in (start, flow, times, tail) if part]
        lines = wrap("  ".join(parts), "", "    ", self._columns)
        yield from self._painted(lines, cause, fg="red", bold=True)

    def _fold(self, fold: Fold) -> Iterator[str]:
        """How many there are by now like those told before."""
        incident = fold.latest
        d = incident.datagram
        yield from self._new_date(incident.time)
        cause = _cause(incident)
        start = f"{phrases.clock(incident.time, incident.mono_ns)} {cause:<14}"
        ports = f"port {fold.low}" if fold.low == fold.high else f"ports {fold.low} to {fold.high}"
        misses = many(fold.misses, "miss", "misses")
        parts = [start, line(f"{d.src} > {d.dst}"), f"{fold.count} more alike, {ports}, {misses}"]
        parts.append(phrases.namespace(incident.netns))
        together = "  ".join(self._together(part, 4) for part in parts)
        lines = wrap(together, "", "    ", self._columns)
        yield from self._painted(lines, cause, fg="red", bold=True)

    # The parts of an incident

    def _nat(self, incident: Incident) -> Iterator[str]:
        nat = incident.nat
        if nat is not None:
            ends = self._together(phrases.before_nat(nat), len(INDENT))
            where = phrases.namespace(nat.netns)
            yield from self._block("before NAT", f"{ends}  translated in {where}")

    def _verdict(self, incident: Incident) -> Iterator[str]:
        socket = incident.socket
        more = f"; {incident.candidates} more on that port" if incident.candidates else ""
        why = phrases.sentence(explain(incident)) + more
        if socket is None:
            yield from self._block("why", why)
            return
        yield from self._block(_role(incident), self._socket(socket))
        yield from self._block("", why)
        for made in phrases.set_by(socket, incident):
            yield from self._block("set by", made)

    def _origin(self, incident: Incident) -> Iterator[str]:
        origin = incident.origin
        if origin is None:
            yield from self._block("sent by", phrases.no_origin(incident.nat))
            return
        where = "" if origin.netns == incident.netns else "  " + phrases.namespace(origin.netns)
        yield from self._block("sent by", self._socket(origin) + where)
        # Its connect() tells where a source address nobody expected comes from.
        if incident.cause in (Cause.REMOTE_ADDRESS, Cause.REMOTE_PORT) and origin.connect:
            yield from self._block("", phrases.connected(origin.connect, origin, incident))
        closed = phrases.closed(origin, incident)
        if closed:
            yield from self._block("", closed)

    def _nobody(self, incident: Incident) -> Iterator[str]:
        """That a miss was told to nobody, as plainly as who was told."""
        if nobody := phrases.nobody(incident):
            yield from self._block("told", nobody)

    def _doubt(self, incident: Incident, caveats: Iterable[str]) -> Iterator[str]:
        for caveat in caveats:
            yield from self._block(
                "note" if incident.certain else "doubt", phrases.sentence(caveat)
            )


def _cause(incident: Incident) -> str:
    return incident.cause.value + ("" if incident.certain else "?")


def _is_news(origin: Socket, previous: Socket | None) -> bool:
    """A sender that was not known, or not in which container it is."""
    return previous is None or bool(origin.netns.containers and not previous.netns.containers)


def _holder_known(incident: Incident) -> bool:
    return incident.socket is not None and bool(incident.socket.processes)


def _same_verdict(one: Incident, other: Incident) -> bool:
    return one.cause is other.cause and one.mismatch == other.mismatch


def _role(incident: Incident) -> str:
    return _ROLE.get(incident.cause, "refused by")


def _summary(stats: Stats) -> str:
    untold = f"{stats.untold} told to nobody" if stats.untold else ""
    if untold and not stats.untold_exact:
        untold = f"at least {untold}"
    misses = many(stats.misses, "miss", "misses") + (f" ({untold})" if untold else "")
    parts = [
        f"{misses} in {many(stats.incidents, 'incident')}",
        many(stats.sockets, "socket"),
        f"{many(stats.probes, 'probe')} proven",
    ]
    lost = [f"{n} {LOSSES.get(what) or name(what)}" for what, n in stats.losses.items()]
    parts.append(f"lost: {', '.join(lost)}" if lost else "nothing lost")
    if stats.forgotten:
        items = stats.forgotten.items()
        forgotten = ", ".join(f"{n} {_FORGOTTEN.get(what, what)}" for what, n in items)
        parts.append(f"forgotten to bound memory: {forgotten}")
    return f"{stats.duration // NS} s: {', '.join(parts)}"
