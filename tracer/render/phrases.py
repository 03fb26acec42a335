"""The parts of an incident as phrases for a line of text: safe to print, not yet wrapped."""

from __future__ import annotations

from tracer.addresses import endpoint
from tracer.causes import Cause
from tracer.containers import Container, workload
from tracer.incident import Incident, Nat, NotTold, Told
from tracer.parts import Bind, Connect, KeptBy, Netns, Process, SetBy, Socket
from tracer.render.escape import KEEP, line, name, shorten
from tracer.timefmt import NS, clock_text, date_text, utc_text

# Longest sentence printed, in characters: recordings come from elsewhere.
_SENTENCE = 600

# Holders of a socket that are named where each of them matters.
_NAMED = 3


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
    """``container web (docker, alpine:3.20)``, ``pod default/web``, ``netns web``; by number where
    nothing is known of it."""
    if netns.pod is not None:
        inside = ", ".join(name(c.label) for c in workload(netns.containers)[:_NAMED])
        return kept(f"pod {name(netns.pod)}") + (f" ({inside})" if inside else "")
    if netns.containers:
        return _containers(netns.workload)
    return kept(f"netns {name(netns.name) if netns.name else netns.inum}")


def _containers(containers: tuple[Container, ...]) -> str:
    """The containers that share a namespace, the first of many."""
    if len(containers) == 1:
        return container(containers[0])
    more = f" and {len(containers) - _NAMED} more" if len(containers) > _NAMED else ""
    return kept("containers ") + ", ".join(name(c.label) for c in containers[:_NAMED]) + more


def container(container: Container) -> str:
    """``container web (docker, alpine:3.20)``."""
    about = [name(container.engine) if container.engine else "engine not known"]
    about += [f"of user {container.uid}"] if container.uid is not None else []
    about += [name(container.image)] if container.image else []
    return kept(f"container {name(container.label)}") + f" ({', '.join(about)})"


def before_nat(nat: Nat) -> str:
    """A datagram's ends before they were translated."""
    return line(f"{endpoint(nat.src, nat.sport)} > {endpoint(nat.dst, nat.dport)}")


def no_origin(nat: Nat | None) -> str:
    """That the sender is not known, and by which end it would be."""
    end = f" of {line(endpoint(nat.src, nat.sport))}" if nat else ""
    return f"no socket{end} known on this machine"


def process(process: Process) -> str:
    """``nc[3467]``."""
    return f"{kept(name(process.comm))}[{process.pid}]"


def holders(socket: Socket, *, fd: bool = False) -> str:
    """The process that holds a socket, its container where that is not the socket's namespace's
    (it shares the host's network, or has been handed the socket), and how many more there are."""
    if not socket.processes:
        return "process unknown"
    first = socket.processes[0]
    number = f"{KEEP}fd{KEEP}{first.fd}" if fd and first.fd is not None else ""
    others = len({process.pid for process in socket.processes}) - 1
    more = f" and {others} more" if others else ""
    return process(first) + number + _guest(first, socket.netns) + more


def caller(by: Process, netns: Netns) -> str:
    """Who made a call on a socket of a namespace, with its container as in `holders`."""
    return process(by) + _guest(by, netns)


def _guest(process: Process, netns: Netns) -> str:
    """The container of a process, where its socket's namespace does not say it."""
    inside = process.container
    if inside is None or [c.id for c in netns.workload] == [inside.id]:
        return ""
    return kept(f" in {name(inside.label)}")


def ends(socket: Socket) -> str:
    """A socket's four-tuple and state."""
    peer = f" -> {socket.peer}" if socket.peer is not None else ""
    return line(f"{socket.local}{peer} {socket.state}")


def set_by(socket: Socket, incident: Incident) -> list[str]:
    """What gave the socket the values that refused, a phrase for each call; without any, what made
    its four-tuple."""
    if not incident.set_by:
        return [text for text in [_made(socket, incident)] if text]
    grouped: dict[tuple[object, ...], list[tuple[Cause, SetBy]]] = {}
    for check, setting in zip(incident.mismatch, incident.set_by, strict=True):
        one_call = (setting.call, setting.time, setting.by, setting.why)
        grouped.setdefault(one_call, []).append((check.field, setting))
    return [
        _seen_call(group, socket, incident) if group[0][1].call else _unseen_call(group)
        for group in grouped.values()
    ]


def _seen_call(group: list[tuple[Cause, SetBy]], socket: Socket, incident: Incident) -> str:
    """The call, then what it set: ``its connect(10.0.0.9:53) at 12:03:44.128: ...``."""
    setting = group[0][1]
    whose = _caller(setting.by, socket) if setting.by else ""
    text = f"{whose} {_call(setting)} at {moment(setting.time, incident)}"
    if setting.by is not None and socket.held_by(setting.by) is False:
        text += f", held {'last' if socket.closed else 'now'} by {_all(socket.holders)}"
    told = [_changed(field, one, socket, incident) for field, one in group]
    return "; ".join([text, *dict.fromkeys(line(part) for part in told if part)])


def _call(call: SetBy | KeptBy) -> str:
    """``connect(10.0.0.9:53)``."""
    if call.call == "disconnect":
        return "disconnect (AF_UNSPEC)"
    if call.call == "autobind":
        return "autobind"
    return line(f"{call.call}({call.requested or ''})")


def _changed(field: Cause, setting: SetBy, socket: Socket, incident: Incident) -> str:
    """What a call made of a field, where its name does not say it."""
    kept = setting.kept_by
    later = f"{_call(kept)} at {moment(kept.time, incident)}" if kept else ""
    if field in (Cause.REMOTE_ADDRESS, Cause.REMOTE_PORT):
        if later and socket.peer is None:
            return f"its {later} left that address"
        return _peer_before(setting)
    if field is Cause.LOCAL_ADDRESS and setting.source == "route":
        kept_text = f", and its {later} kept it" if later else ""
        return f"the route chose {setting.value}, it was {setting.before} before{kept_text}"
    if field is Cause.DEVICE:
        what = "unbound it" if setting.value == "unbound" else "bound it to that interface"
        return f"that {what}, it was {_device(setting.before)} before"
    if field is Cause.IPV6_ONLY:
        return "an IPv6 socket with one IPv6 address is IPv6 only"
    return ""


def _peer_before(setting: SetBy) -> str:
    """The peer that a connect() replaced, and how many there were."""
    again = setting.connects is not None and setting.connects > 1
    if setting.peer_before is None:
        had = "it had no peer before"
        return f"{had}, though it was connected {setting.connects} times" if again else had
    times = f"connected {setting.connects} times, " if again else ""
    return f"{times}to {setting.peer_before} before"


def _device(before: str | None) -> str:
    return "unbound" if before in (None, "unbound") else f"bound to {name(before or '')}"


def _unseen_call(group: list[tuple[Cause, SetBy]]) -> str:
    """Why the call is not named, and what is known of it all the same."""
    field, setting = group[0]
    why = sentence(setting.why or "")
    sources = [line(f"the route chose {one.value}") for _, one in group if one.source == "route"]
    if field is Cause.LOCAL_ADDRESS and setting.source == "bound":
        return f"a bind() {why}"
    peers = any(f in (Cause.REMOTE_ADDRESS, Cause.REMOTE_PORT) for f, _ in group)
    call = "a connect() " if peers or sources else ""
    return "; ".join([call + why, *sources])


def _all(processes: tuple[Process, ...]) -> str:
    """Several processes by name, the first of many."""
    each = list({p.pid: process(p) for p in processes}.values())
    more = [f"{len(each) - _NAMED} more"] if len(each) > _NAMED else []
    named = [*each[:_NAMED], *more]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _made(socket: Socket, incident: Incident) -> str:
    """What made a socket's four-tuple: a connect(), known or not, or a bind(); may be empty."""
    if socket.connect is not None:
        return connected(socket.connect, socket, incident)
    if socket.state == "ESTAB":
        return "a connect() that was not recorded: made before the trace, or lost"
    return _bound(socket.bind, socket, incident) if socket.bind is not None else ""


def connected(connect: Connect, socket: Socket, incident: Incident) -> str:
    """A connect(): whose, to where, when, and what the socket was before."""
    to = connect.requested or connect.after.peer or "no peer"
    chosen, was = _address(connect.after.local), _address(connect.before.local)
    parts = [
        f"{_caller(connect.by, socket)} connect({line(to)}) at {moment(connect.time, incident)}"
    ]
    if connect.source == "route":
        # A reconnect finds the address that the route chose for an earlier one.
        before = f", it was {was} before" if was != chosen else " for an earlier one"
        parts.append(line(f"the route chose {chosen}{before}"))
    elif connect.source == "bound":
        parts.append(line(f"bound to {chosen} before"))
    if connect.before.peer is not None:
        parts.append(line(f"to {connect.before.peer} before"))
    return "; ".join(parts)


def _address(endpoint: str) -> str:
    """``10.0.0.1`` of ``10.0.0.1:53``, ``::1`` of ``[::1]:53``."""
    return endpoint.rpartition(":")[0].strip("[]")


def _bound(bind: Bind, socket: Socket, incident: Incident) -> str:
    how = "autobind" if bind.automatic else "bind()"
    return f"{_caller(bind.by, socket)} {how} at {moment(bind.time, incident)}"


def _caller(by: Process, socket: Socket) -> str:
    """``its``, or the name of a process that is not the only one to hold the socket."""
    alone = all(holder.is_same(by) for holder in socket.processes)
    return "its" if alone and socket.processes else f"{process(by)}'s"


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
