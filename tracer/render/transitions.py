"""Transitions of sockets, for a person and as JSON: a trace in order, as for incidents."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.events import LOSSES, End
from tracer.parts import Json
from tracer.render import phrases
from tracer.render.escape import NAME_LIMIT, line, shorten
from tracer.render.json_line import json_line
from tracer.render.jsonl import JsonRenderer
from tracer.render.text import TextRenderer
from tracer.render.wrap import wrap
from tracer.states.consume import Tally
from tracer.states.model import Ends, Ports, Transition
from tracer.summary import many
from tracer.timefmt import NS

_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}

# What made the kernel do it, and where nothing tells.
_AUTOBOUND = {"connect": "by connect()", "send": "by a send", None: "by connect() or a send"}
_UNDONE = {"connect": "by connect(AF_UNSPEC)", None: "by connect(AF_UNSPEC) or ss -K"}


class TransitionText(TextRenderer):
    """Renders a trace in order. Each method returns whole lines, or nothing."""

    def transition(self, made: Transition) -> str:
        """Who did what and where; then the socket's ends, and whom it takes datagrams from."""
        return self._text([*self._new_date(made.time), *self._lines(made)])

    def _lines(self, made: Transition) -> Iterator[str]:
        start = f"{phrases.clock(made.time, made.mono_ns)} {made.what:<14}"
        parts = (start, phrases.caller(made.by, made.netns), phrases.namespace(made.netns))
        lines = wrap("  ".join(parts), "", "    ", self._columns)
        color = "red" if made.error else "green"
        yield from self._painted(lines, made.what, fg=color, bold=True)
        yield from self._block("", "; ".join(_clauses(made)))


class TransitionJson(JsonRenderer):
    """The same as JSON lines."""

    def transition(self, made: Transition) -> str:
        """One line."""
        return json_line(made.to_json())

    def last(self, end: End, tally: Tally) -> str:
        """The last line of a trace that ended cleanly: the totals."""
        totals: Json = {
            "reason": end.reason,
            "transitions": dict(sorted(tally.shown.items())),
            "losses": dict(tally.losses),
        }
        return json_line(self._stamped("end", end.time) | totals)


def tally_line(tally: Tally, age_ns: int) -> str:
    """The line that proves that a trace lives."""
    shown = many(tally.shown.total(), "transition")
    return f"{age_ns // NS} s: {shown}, {many(tally.probes, 'probe')} proven"


def tally_summary(tally: Tally) -> str:
    """The last words: how many were shown, by what, and what was lost."""
    kinds = ", ".join(f"{number} {what}" for what, number in tally.shown.most_common())
    parts = [many(tally.shown.total(), "transition") + (f" ({kinds})" if kinds else "")]
    parts.append(f"{many(tally.probes, 'probe')} proven")
    lost = ", ".join(f"{number} {LOSSES[what]}" for what, number in tally.losses.items())
    parts.append(f"lost: {lost}" if lost else "nothing lost")
    return f"{tally.duration // NS} s: {', '.join(parts)}"


def _clauses(made: Transition) -> Iterator[str]:
    """What is said of a transition below its head."""
    if made.error:
        yield from _failure(made)
    elif made.what == "created":
        yield f"{_FAMILIES[made.family]} socket"
    elif made.after is not None and made.before is not None:
        yield _ends(made.after) + _was(made)
        yield from _how(made)
    elif made.before is not None:
        yield f"was {_ends(made.before)}"
    if made.after is not None:
        yield line(made.meaning)


def _how(made: Transition) -> Iterator[str]:
    """Who chose what, as far as the ends do not say it."""
    if made.what == "autobound":
        yield f"the kernel chose the port, {_AUTOBOUND[made.within]}"
    elif made.what == "disconnected":
        yield _UNDONE[made.within]
    elif made.port_from == "kernel-chosen":
        yield f"the kernel chose the port, for bind() to {_asked(made)}"
    if made.call != "connect" or made.after is None:
        return
    if made.requested and made.requested != made.after.peer:
        yield f"asked for {_asked(made)}"
    if made.address_from == "route":
        yield "the route chose the local address"
    elif made.address_from == "kept":
        yield "the local address was there before, and stays"


def _was(made: Transition) -> str:
    """The ends before, where the call changed more than the port."""
    if made.before is None or made.what in ("bound", "autobound"):
        return ""
    return f", was {_ends(made.before)}"


def _failure(made: Transition) -> Iterator[str]:
    call = {"autobind": "autobind " + _AUTOBOUND[made.within]}.get(made.call, f"{made.call}()")
    asked = f" of {_asked(made)}" if made.requested else ""
    yield f"{call}{asked}: {made.error}"
    if made.ports is not None:
        yield f"no port is free: {_ports(made.ports)}"
    if made.after is not None:
        changed = "unchanged" if made.after == made.before else "now"
        yield f"{changed}, {_ends(made.after)}"


def _asked(made: Transition) -> str:
    """What the call asked for; a recording can have any text there."""
    return line(made.requested or "nothing")


def _ports(ports: Ports) -> str:
    reserved = line(shorten(ports.reserved, NAME_LIMIT))
    without = f", without the reserved {reserved}" if reserved else ", none of them reserved"
    return f"the kernel chooses from {ports.first}-{ports.last}{without}"


def _ends(ends: Ends) -> str:
    peer = f" -> {ends.peer}" if ends.peer is not None else ""
    device = f" dev {line(ends.device)}" if ends.device else ""
    return phrases.kept(line(f"{ends.local}{peer} {ends.state}{device}"))
