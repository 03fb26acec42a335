"""The parts of an incident as phrases for a line of text: safe to print, not yet wrapped."""

from __future__ import annotations

from tracer.incident import Bind, Connect, Incident, Netns, NotTold, Process, Socket, Told
from tracer.render.escape import KEEP, line, name, shorten
from tracer.timefmt import NS, clock_text, date_text, utc_text

# Longest sentence printed, in characters: recordings come from elsewhere.
_SENTENCE = 600


def sentence(text: str) -> str:
    """A sentence that may hold names from outside."""
    return line(shorten(text, _SENTENCE))


def kept(text: str) -> str:
    """A text made safe that is not to be broken between lines."""
    return text.replace(" ", KEEP)


def clock(utc: int | None, monotonic: int) -> str:
    """The time of day in UTC; the monotonic clock where the trace has no other."""
    return clock_text(utc) if utc is not None else f"+{monotonic / NS:.3f}"


def moment(utc: int | None, incident: Incident) -> str:
    """A time beside the incident's own: with its date where that is another."""
    if utc is None:
        return "a time not known"
    if incident.time is not None and date_text(utc) == date_text(incident.time):
        return clock_text(utc)
    return utc_text(utc)[:23].replace("T", KEEP)


def namespace(netns: Netns) -> str:
    """``netns web``, by number where it has no name."""
    return kept(f"netns {name(netns.name) if netns.name else netns.inum}")


def process(process: Process) -> str:
    """``nc[3467]``."""
    return f"{kept(name(process.comm))}[{process.pid}]"


def holders(socket: Socket, *, fd: bool = False) -> str:
    """The process that holds a socket, and how many more there are."""
    if not socket.processes:
        return "process unknown"
    first = socket.processes[0]
    number = f"{KEEP}fd{KEEP}{first.fd}" if fd and first.fd is not None else ""
    others = len({process.pid for process in socket.processes}) - 1
    return process(first) + number + (f" and {others} more" if others else "")


def ends(socket: Socket) -> str:
    """A socket's four-tuple and state."""
    peer = f" -> {socket.peer}" if socket.peer is not None else ""
    return line(f"{socket.local}{peer} {socket.state}")


def made(socket: Socket, incident: Incident) -> str:
    """What made a socket's four-tuple: a connect(), known or not, or a bind(); may be empty."""
    if socket.connect is not None:
        return connected(socket.connect, socket, incident)
    if socket.state == "ESTAB":
        return "a connect() that was not recorded: made before the trace, or lost"
    return _bound(socket.bind, socket, incident) if socket.bind is not None else ""


def connected(connect: Connect, socket: Socket, incident: Incident) -> str:
    """A connect(): whose, to where, when, and what the socket was before."""
    to = connect.requested or connect.after.peer or "no peer"
    was = connect.before.local
    if connect.before.peer is not None:
        was += f" -> {connect.before.peer}"
    if connect.source == "route":
        source = f", source {connect.after.local.rpartition(':')[0]} chosen by the route"
    else:
        source = ", source as bound" if connect.source == "bound" else ""
    who, when = _caller(connect.by, socket), moment(connect.time, incident)
    return f"{who} connect() to {line(to)} at {when} " + line(f"(was {was}{source})")


def _bound(bind: Bind, socket: Socket, incident: Incident) -> str:
    how = "autobind" if bind.automatic else "bind()"
    return f"{_caller(bind.by, socket)} {how} at {moment(bind.time, incident)}"


def _caller(by: Process, socket: Socket) -> str:
    """``its``, or the name of a process that does not hold the socket (any more)."""
    holds = any(process.pid == by.pid for process in socket.processes)
    return "its" if holds else f"{process(by)}'s"


def closed(socket: Socket, incident: Incident) -> str:
    """When a socket was closed, seen from the incident, and by whom; empty while it is open."""
    if socket.closed is None or socket.closed.time is None:
        return ""
    before = incident.time is not None and socket.closed.time < incident.time
    when = moment(socket.closed.time, incident)
    return f"closed {'before' if before else 'since'}, at {when} by {process(socket.closed.by)}"


def told(told: Told, incident: Incident) -> str:
    """A socket that was told: which one, where it is not the one that sent the datagram."""
    who = f"{holders(told.socket)}: {told.error}"
    if incident.origin is not None and _same_socket(incident.origin, told.socket):
        return who
    return f"{who} on {line(told.socket.local)} in {namespace(told.socket.netns)}"


def _same_socket(one: Socket, other: Socket) -> bool:
    return (one.netns, one.inode, one.local) == (other.netns, other.inode, other.local)


# Fates of an ICMP that never left.
_UNSENT = {
    "rate-limited": "a rate limit held the ICMP back",
    "suppressed": "the ICMP did not leave (no route back, or its socket was busy)",
}

# Why a sender that is known was told nothing, after its name.
_NOT_TOLD = {
    "unconnected": "is unconnected, and the kernel tells only a connected sender",
    "connected to another peer": "is connected to another peer",
}


def nobody(incident: Incident) -> str:
    """That nobody was told of a miss, or of some of its repeats, and why; empty if that is not so
    or not known."""
    if 0 < incident.untold < incident.count:
        return f"nobody in {incident.untold} of the {incident.count}: their ICMP did not leave"
    if incident.told:
        return ""
    if incident.icmp.status in _UNSENT:
        return f"nobody: {_UNSENT[incident.icmp.status]}"
    return next((f"nobody: {_why(sender)}" for sender in incident.not_told), "")


def _why(not_told: NotTold) -> str:
    """A sender that learned nothing, and why."""
    who = holders(not_told.socket) if not_told.socket.processes else "its sender"
    known = _NOT_TOLD.get(not_told.why)
    return f"{who} {known}" if known else f"{sentence(not_told.why)}: {who}"
