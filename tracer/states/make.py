"""A call on a socket -> the transition that it made."""

from __future__ import annotations

from dataclasses import replace

from tracer.addresses import endpoint, is_any
from tracer.describe import local_and_peer
from tracer.errnos import errno_name
from tracer.events import Call, Close, Created, SocketView
from tracer.match import is_connected
from tracer.naming import Names
from tracer.states.meaning import meaning_of
from tracer.states.model import AddressFrom, Ends, Made, PortFrom, Transition, What

Step = Call | Close | Created
"""The events that make a transition."""

_DONE: dict[str, What] = {"bind": "bound", "autobind": "autobound", "disconnect": "disconnected"}


def view_of(step: Step) -> SocketView:
    """The socket as a step left it; a close, as it was."""
    return step.after if isinstance(step, Call) else step.socket


def changes_nothing(step: Step) -> bool:
    """An autobind that found a port there already, for another thread was first."""
    if not isinstance(step, Call) or step.op != "autobind" or step.error:
        return False
    return step.before.lport == step.after.lport


def transition_of(step: Step, names: Names) -> Transition:
    """What a step made of its socket, by the names known by now."""
    if isinstance(step, Call):
        return _of_call(step, names)
    ends = _ends(step.socket, names)
    if isinstance(step, Created):
        made = _made(step, names, "created", "socket")
        return replace(made, after=ends, meaning=meaning_of(step.socket, ends))
    made = _made(step, names, "closed", "close")
    return replace(made, before=ends, meaning="takes nothing: it is gone")


def _made(step: Step, names: Names, what: What, call: Made) -> Transition:
    """What every transition has."""
    view = view_of(step)
    return Transition(
        time=names.time(step.time),
        mono_ns=step.time,
        what=what,
        call=call,
        by=names.task(step.task),
        netns=names.netns(view.netns, view.netns_cookie),
        family=view.family,
        inode=view.inode,
        cookie=view.cookie,
        before=None,
        after=None,
        meaning="",
    )


def _of_call(call: Call, names: Names) -> Transition:
    before, after = _ends(call.before, names), _ends(call.after, names)
    return replace(
        _made(call, names, _what(call), call.op),
        before=before,
        after=after,
        meaning=meaning_of(call.after, after),
        requested=endpoint(*call.requested) if call.requested else None,
        address_from=None if call.error else _address_from(call),
        port_from=None if call.error else _port_from(call),
        within=call.within,
        error=errno_name(call.error) if call.error else None,
    )


def _what(call: Call) -> What:
    if call.error:
        return "failed"
    if call.op == "connect":
        return "reconnected" if is_connected(call.before) else "connected"
    return _DONE[call.op]


def _address_from(call: Call) -> AddressFrom | None:
    """Where the local address comes from that a call left; None where it left none."""
    if is_any(call.after.local) or call.op not in ("bind", "connect"):
        return None
    if call.op == "bind":
        return "requested"
    return "route" if call.before.local != call.after.local else "kept"


def _port_from(call: Call) -> PortFrom | None:
    """Who chose the port that a call gave the socket; None where it gave none."""
    if call.before.lport == call.after.lport or not call.after.lport:
        return None
    return "requested" if call.requested and call.requested[1] else "kernel-chosen"


def _ends(view: SocketView, names: Names) -> Ends:
    ends = local_and_peer(view)
    return Ends(
        "ESTAB" if is_connected(view) else "UNCONN", ends.local, ends.peer, names.device(view)
    )
