"""Where a socket's four-tuple comes from: its history, and which call in it set a field's value."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from tracer.addresses import MAPPED
from tracer.events import Call, Family, SocketView
from tracer.frozen import frozen
from tracer.match import shown_local, shown_peer

Field = Literal["local-address", "remote-address", "remote-port", "device", "ipv6-only", "port"]
"""What a call can set: the checks of compute_score by their causes' names, and the own port."""

Sighting = Literal["dump", "call", "other"]
"""How a socket was first seen: in a dump, by a call on it, or otherwise (a walk, a close...)."""

Unseen = Literal["older", "unrecorded", "untraced", "dropped", "default"]
"""Why no call is named: it was there at the first sighting; it came by a call of which there is no
record; by setsockopt(), which no probe sees; by a call that was dropped to bound memory; by none,
since a socket begins so."""

_FIELDS: tuple[Field, ...] = get_args(Field)
_FAMILIES: tuple[Family, ...] = get_args(Family)

# Set by setsockopt() for the most part.
_OPTIONS: tuple[Field, ...] = ("device", "ipv6-only")

# The latest calls kept, for a miss that is judged after the socket moved on. Of the earlier ones
# those stay that were the last to set a field: as many again at most, two nearly always.
_RECENT = 4


@frozen
class History:
    """The calls that set something on one socket, bounded; see `setting`.

    ``first`` is the socket as it was first seen, before the call where a call was the first.
    """

    first: SocketView
    sighting: Sighting = "other"
    calls: tuple[Call, ...] = ()
    """In the order of their returns."""
    connects: int = 0
    """Successful connect() calls, those dropped included."""
    dropped: int = -1
    """Monotonic time of the latest call that was dropped; -1 for none."""

    def add(self, call: Call) -> History:
        """The history with one more call; one that set nothing, as failed ones mostly do, is not
        kept."""
        first = self.first
        if self.sighting == "call" and not self.calls:
            first = call.before
        if not _sets_something(call):
            return self if first is self.first else replace(self, first=first)
        calls = (*self.calls, call)
        if self.calls and call.time < self.calls[-1].time:
            calls = tuple(sorted(calls, key=lambda call: call.time))
        kept = calls if len(calls) <= _RECENT else _bounded(calls)
        dropped = self.dropped
        if len(kept) < len(calls):
            dropped = max(dropped, *(old.time for old in calls if old not in kept))
        return History(first, self.sighting, kept, self.connects + is_connect(call), dropped)

    def connects_by(self, when: int) -> int | None:
        """How many times it had been connected by then; None where that is not known any more."""
        if self.dropped > when:
            return None
        return self.connects - sum(is_connect(c) and c.entered > when for c in self.calls)


@frozen
class Setting:
    """The call that gave a field its value, else why there is none to name.

    ``kept_by``: a later call that could have changed it and did not: a connect() keeps the local
    address that is there, a disconnect leaves an IPv6 peer's address.
    """

    call: Call | None
    kept_by: Call | None = None
    unseen: Unseen | None = None


def is_connect(call: Call) -> bool:
    """Whether it is a connect() that succeeded."""
    return call.op == "connect" and call.error == 0


def value(view: SocketView, field: Field, family: Family) -> str | int | bool | None:
    """What a lookup of a family compares; None where the source of the view does not tell it."""
    match field:
        case "local-address":
            return shown_local(view, family)
        case "remote-address":
            return shown_peer(view, family)
        case "remote-port":
            return view.pport
        case "device":
            return view.device
        case "ipv6-only":
            return view.v6only
        case "port":
            return view.lport


def setting(history: History, view: SocketView, field: Field, family: Family, when: int) -> Setting:
    """Which call gave ``field`` of the socket the value that ``view`` shows at ``when``.

    ``family`` is the lookup's: what IPv4 and IPv6 compare of an AF_INET6 socket can have been set
    by different calls. Every call after the one named is known not to have touched the value;
    where the calls contradict what was seen, none is named.
    """
    if not _is_complete(history, field, family, when):
        return Setting(None, unseen="dropped")
    return _latest(history, view, field, family, when)


def _latest(history: History, view: SocketView, field: Field, family: Family, when: int) -> Setting:
    """The answer by the calls that are kept."""
    wanted, kept = value(view, field, family), None
    for call in reversed(history.calls):
        before, after = value(call.before, field, family), value(call.after, field, family)
        if call.entered > when:
            continue
        if call.time > when:
            # Under way: it has come as far as this field, or not yet.
            if before != after == wanted:
                return Setting(call)
            continue
        if after != wanted:
            return Setting(None, unseen="untraced" if field in _OPTIONS else "unrecorded")
        if _sets(call, field, family):
            return Setting(call, kept)
        kept = kept or (call if _leaves(call, field) else None)
    return Setting(None, unseen=_unseen(history, wanted, field, family))


def _is_complete(history: History, field: Field, family: Family, when: int) -> bool:
    """Whether the last call that set the field by then is kept, where there was one.

    Of the calls before the latest ones the last to set each field is kept. Where that one came
    after ``when``, an earlier one may have been dropped.
    """
    if history.dropped < 0:
        return True
    old = history.calls[:-_RECENT]
    return not any(call.time > when and _sets(call, field, family) for call in old)


def _unseen(history: History, wanted: object, field: Field, family: Family) -> Unseen:
    """Why no call of a history set a value."""
    first = value(history.first, field, family)
    if first is not None and first != wanted:
        return "untraced" if field in _OPTIONS else "unrecorded"
    if field == "device" and not wanted:
        return "default"
    if history.sighting == "dump":
        return "older"
    if field in _OPTIONS:
        return "untraced"
    return "older" if history.sighting == "call" else "unrecorded"


def _sets_something(call: Call) -> bool:
    """Whether a call gave any field its value; a shorter way for those that surely did."""
    if not call.error and call.op in ("connect", "bind"):
        return True
    if call.before.lport != call.after.lport:
        return True
    return any(_sets(call, field, family) for field in _FIELDS for family in _FAMILIES)


def _sets(call: Call, field: Field, family: Family) -> bool:
    """Whether a call gave a field its value, be it the value it had."""
    if value(call.before, field, family) != value(call.after, field, family):
        return True
    if call.error:
        return False
    if call.op == "bind":
        return field in ("local-address", "port")
    if call.op != "connect":
        return False
    if field == "remote-address":
        # To a native IPv6 peer it leaves inet_daddr, which IPv4 compares, alone.
        native = call.after.family == "ipv6" and not call.after.peer.startswith(MAPPED)
        return not (native and family == "ipv4")
    return field == "remote-port"


def _leaves(call: Call, field: Field) -> bool:
    """Whether a call that did not set a field is one that might have."""
    if field == "local-address":
        return is_connect(call)
    return field == "remote-address" and call.op == "disconnect"


def _bounded(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The latest calls, and of the others the last to set each field."""
    old, recent = calls[:-_RECENT], calls[-_RECENT:]
    if not old:
        return recent
    kept = {_last_to_set(old, field, family) for field in _FIELDS for family in _FAMILIES}
    return (*(call for call in old if call in kept), *recent)


def _last_to_set(calls: tuple[Call, ...], field: Field, family: Family) -> Call | None:
    return next((call for call in reversed(calls) if _sets(call, field, family)), None)
