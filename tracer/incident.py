"""The incident: what missed, why, and who was concerned; frozen, and as JSON (schema 1)."""

from __future__ import annotations

from dataclasses import field
from itertools import zip_longest
from typing import Literal

from tracer.causes import Cause
from tracer.containers import Container, of_pod, workload
from tracer.events import Datagram, Family
from tracer.frozen import frozen
from tracer.match import Mismatch
from tracer.timefmt import utc_text

SCHEMA = 1

Json = dict[str, object]

CLOCK_TICK_NS = 10_000_000
"""The resolution of a process's start in /proc/PID/stat (USER_HZ is 100 on every architecture but
Alpha and ia64); the kernel's probes tell it exactly."""

# Names of the codes of "destination unreachable": ICMP type 3 (include/uapi/linux/icmp.h) and
# ICMPv6 type 1 (include/uapi/linux/icmpv6.h).
_ICMP4 = (
    "net-unreachable",
    "host-unreachable",
    "protocol-unreachable",
    "port-unreachable",
    "fragmentation-needed",
    "source-route-failed",
    "net-unknown",
    "host-unknown",
    "host-isolated",
    "net-prohibited",
    "host-prohibited",
    "net-unreachable-for-tos",
    "host-unreachable-for-tos",
    "admin-prohibited",
    "precedence-violation",
    "precedence-cutoff",
)
_ICMP6 = (
    "no-route",
    "admin-prohibited",
    "beyond-scope",
    "address-unreachable",
    "port-unreachable",
    "policy-failed",
    "reject-route",
)


def icmp_name(family: Family, kind: int, code: int) -> str | None:
    """The name of an unreachable's code, or of ICMPv6's request for smaller datagrams.

    None for what is neither or has no name.
    """
    unreachable, names = (3, _ICMP4) if family == "ipv4" else (1, _ICMP6)
    if (family, kind) == ("ipv6", 2):
        return "packet-too-big"
    return names[code] if kind == unreachable and 0 <= code < len(names) else None


# Codes that say nothing final: icmp_err_convert (net/ipv4/icmp.c) and tab_unreach
# (net/ipv6/icmp.c), where `fatal` is 0.
_SOFT4 = frozenset((0, 1, 4, 5, 11, 12))
_SOFT6 = frozenset((0, 2, 3))


def is_soft(family: Family, code: int) -> bool:
    """Whether an unreachable of this code is told to sockets with IP_RECVERR only."""
    return code in (_SOFT4 if family == "ipv4" else _SOFT6)


@frozen
class Netns:
    """A network namespace; ``cookie`` 0 where the kernel has none."""

    inum: int
    cookie: int
    name: str | None
    containers: tuple[Container, ...] = field(default=(), compare=False)
    """Those in it, as far as known by now; none for the host's."""

    @property
    def workload(self) -> tuple[Container, ...]:
        """Its containers but for a pod's sandbox, unless that is alone."""
        return workload(self.containers) or self.containers

    @property
    def pod(self) -> str | None:
        """The pod whose it is, as "namespace/name"."""
        return of_pod(self.containers)

    def to_json(self) -> Json:
        alone = self.workload[0] if len(self.workload) == 1 else None
        return {
            "inum": self.inum,
            "cookie": _id_text(self.cookie),
            "name": self.name,
            "container": alone and container_json(alone),
            "containers": [container_json(container) for container in self.containers],
            "pod": self.pod,
        }


def container_json(container: Container) -> Json:
    """A container as the JSON stream tells of it."""
    return {
        "engine": container.engine or None,
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "pod": container.pod,
        "uid": container.uid,
    }


@frozen
class Process:
    """A process that holds a socket (then with ``fd``) or made a call on it; ``start`` in UTC."""

    pid: int
    comm: str
    fd: int | None
    start: int | None
    container: Container | None = None

    def to_json(self) -> Json:
        return {
            "pid": self.pid,
            "comm": self.comm,
            "fd": self.fd,
            "start_time": _time(self.start),
            "container": self.container and self.container.label,
        }

    def is_same(self, other: Process) -> bool:
        """Whether it is the same process, whatever either was called when: by number and start."""
        if self.pid != other.pid or self.start is None or other.start is None:
            return self.pid == other.pid
        return abs(self.start - other.start) <= CLOCK_TICK_NS


@frozen
class LocalAndPeer:
    """A socket's two ends, as printed; ``peer`` None for an unconnected socket."""

    local: str
    peer: str | None

    def to_json(self) -> Json:
        return {"local": self.local, "peer": self.peer}


@frozen
class Connect:
    """The connect() that made a socket's four-tuple; ``time`` of its return, in UTC.

    ``source``: where the local address came from, "route" (connect() looked it up) or "bound".
    """

    time: int | None
    by: Process
    requested: str | None
    before: LocalAndPeer
    after: LocalAndPeer
    source: Literal["route", "bound"] | None
    error: str | None

    def to_json(self) -> Json:
        return {
            "time": _time(self.time),
            "by": self.by.to_json(),
            "requested": self.requested,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "source": self.source,
            "error": self.error,
        }


@frozen
class Bind:
    """The bind() or autobind that gave an unconnected socket its port; ``time`` in UTC."""

    time: int | None
    by: Process
    automatic: bool


@frozen
class KeptBy:
    """A call that might have changed a value and left it; ``time`` of its return, in UTC."""

    call: Literal["connect", "bind", "autobind", "disconnect"]
    time: int | None
    by: Process
    requested: str | None

    def to_json(self) -> Json:
        return {
            "call": self.call,
            "time": _time(self.time),
            "by": self.by.to_json(),
            "requested": self.requested,
        }


Source = Literal["route", "bound", "requested", "kernel-chosen"]


@frozen
class SetBy:
    """The call that gave a field its value; ``call`` None, with ``why``, where it was not seen.

    ``time`` of its return, in UTC. ``source``: "requested" by the call, chosen by the "route" that
    connect() looked up, "kernel-chosen" (a port), "bound": some bind() named it, known from the
    socket's lock. ``connects``: how often the socket was connected by the time of the miss, as far
    as seen. ``peer_before`` (the peer that the call replaced) is for the words; the JSON does not
    have it.
    """

    call: Literal["connect", "bind", "autobind", "disconnect"] | None
    time: int | None
    by: Process | None
    requested: str | None
    before: str | None
    value: str
    source: Source | None
    why: str | None
    kept_by: KeptBy | None
    connects: int | None
    peer_before: str | None = None

    def to_json(self) -> Json:
        return {
            "call": self.call,
            "time": _time(self.time),
            "by": self.by and self.by.to_json(),
            "requested": self.requested,
            "from": self.before,
            "to": self.value,
            "source": self.source,
            "seen": self.call is not None,
            "why": self.why,
            "kept_by": self.kept_by and self.kept_by.to_json(),
            "connects": self.connects,
        }


@frozen
class Closed:
    """When a socket was closed (UTC) and by whom; ``told``: the error it had been told before."""

    time: int | None
    by: Process
    told: str | None = None

    def to_json(self) -> Json:
        return {"time": _time(self.time), "by": self.by.to_json()}


@frozen
class Socket:
    """A socket as it was at the miss, with what is known of how it came to be so.

    ``bind`` and ``address_bound`` (whether a bind() named the local address) are for the words;
    the JSON does not have them.
    """

    netns: Netns
    family: Family
    state: Literal["ESTAB", "UNCONN"]
    local: str
    peer: str | None
    device: str | None
    v6only: bool | None
    port_origin: Literal["bound", "kernel-chosen"] | None
    inode: int
    cookie: int
    uid: int | None
    closed: Closed | None
    processes: tuple[Process, ...]
    connect: Connect | None
    bind: Bind | None = None
    address_bound: bool | None = None
    port_set_by: SetBy | None = None

    @property
    def holders(self) -> tuple[Process, ...]:
        """The processes found holding it; ``processes`` can be who called on it instead."""
        return tuple(process for process in self.processes if process.fd is not None)

    def held_by(self, process: Process | None) -> bool | None:
        """Whether a process is among the holders; None where these are not known."""
        if process is None or not self.holders:
            return None
        return any(process.is_same(holder) for holder in self.holders)

    def to_json(self) -> Json:
        return {
            "netns": self.netns.to_json(),
            "family": self.family,
            "state": self.state,
            "local": self.local,
            "peer": self.peer,
            "device": self.device,
            "v6only": self.v6only,
            "port_origin": self.port_origin,
            "inode": self.inode or None,
            "cookie": _id_text(self.cookie),
            "uid": self.uid,
            "closed": self.closed and self.closed.to_json(),
            "processes": [process.to_json() for process in self.processes],
            "connect": self.connect and self.connect.to_json(),
            "port_set_by": self.port_set_by and self.port_set_by.to_json(),
        }


def port_origin(lock: bool | None) -> Literal["bound", "kernel-chosen"] | None:
    """Where a port came from, by the lock that only a bind() to a port sets; None: not told."""
    if lock is None:
        return None
    return "bound" if lock else "kernel-chosen"


@frozen
class Told:
    """An error queued on a socket because of the miss; whether it was read is not known."""

    socket: Socket
    error: str
    time: int | None

    def to_json(self) -> Json:
        return {"socket": self.socket.to_json(), "error": self.error, "time": _time(self.time)}


@frozen
class NotTold:
    """A socket that sent the datagram and learned nothing, and why."""

    socket: Socket
    why: str

    def to_json(self) -> Json:
        return {"socket": self.socket.to_json(), "why": self.why}


@frozen
class Nat:
    """The datagram's ends before they were translated, and the namespace that did it.

    ``direction``: the way it went through the conntrack entry, whose first packet's is "original".
    """

    src: str
    sport: int
    dst: str
    dport: int
    netns: Netns
    direction: Literal["original", "reply"]

    def to_json(self) -> Json:
        return {
            "src": self.src,
            "sport": self.sport,
            "dst": self.dst,
            "dport": self.dport,
            "netns": self.netns.to_json(),
            "direction": self.direction,
        }


IcmpStatus = Literal["sent", "rate-limited", "suppressed", "attempted", "received"]


@frozen
class Icmp:
    """The ICMP sent about the datagram, and what is known of its fate.

    ``sender``: who sent it, where it was received here; None where it was sent here.
    """

    type: int
    code: int
    name: str | None
    status: IcmpStatus
    sender: str | None = None

    def to_json(self) -> Json:
        return {
            "type": self.type,
            "code": self.code,
            "name": self.name,
            "status": self.status,
            "from": self.sender,
        }


@frozen
class Lookup:
    """The lookup that missed and the walk of the port's slot; None where not looked or not told."""

    passes: int | None
    visited: int | None
    matching: int | None
    truncated: bool | None
    caller: str | None

    def to_json(self) -> Json:
        return {
            "passes": self.passes,
            "visited": self.visited,
            "matching": self.matching,
            "truncated": self.truncated,
            "caller": self.caller,
        }


@frozen
class Incident:
    """A miss and its repeats. Times are nanoseconds of UTC but for ``mono_ns``, None unknown.

    ``set_by``: for each of ``mismatch``, in its order, what gave the socket that value.
    The JSON does not have ``sender_holds_peer`` (the sender's namespace has the address that the
    socket takes datagrams from), which is for the words, nor ``packet`` (as in
    `tracer.events.Miss`), which is for exports.
    """

    id: str
    seq: int
    host: str | None
    boot_id: str | None
    time: int | None
    mono_ns: int
    last_time: int | None
    count: int
    datagram: Datagram
    nat: Nat | None
    netns: Netns
    icmp: Icmp
    lookup: Lookup
    cause: Cause
    mismatch: tuple[Mismatch, ...]
    socket: Socket | None
    candidates: int
    origin: Socket | None
    told: tuple[Told, ...]
    not_told: tuple[NotTold, ...]
    untold: int
    """Of ``count``, the misses known to have been told to nobody."""
    untold_exact: bool
    """Whether there are no more; for the words."""
    hints: tuple[str, ...]
    advice: tuple[str, ...]
    certain: bool
    caveats: tuple[str, ...]
    set_by: tuple[SetBy, ...] = ()
    sender_holds_peer: bool = False
    packet: str | None = None

    def places(self) -> tuple[Netns, ...]:
        """The namespaces of the miss, of the socket that refused and of the sender's."""
        sockets = (self.socket, self.origin)
        return (self.netns, *(socket.netns for socket in sockets if socket is not None))

    def made(self, field: Cause) -> SetBy | None:
        """What gave the socket the value that failed a check; None where that check passed."""
        pairs = zip(self.mismatch, self.set_by, strict=False)
        return next((made for check, made in pairs if check.field is field), None)

    def to_json(self) -> Json:
        """The object of the JSON stream, keys in the documented order."""
        return {
            "kind": "incident",
            "schema": SCHEMA,
            "id": self.id,
            "seq": self.seq,
            "host": self.host,
            "boot_id": self.boot_id,
            "time": _time(self.time),
            "mono_ns": self.mono_ns,
            "last_time": _time(self.last_time),
            "count": self.count,
            "datagram": datagram_json(self.datagram),
            "nat": self.nat and self.nat.to_json(),
            "netns": self.netns.to_json(),
            "icmp": self.icmp.to_json(),
            "lookup": self.lookup.to_json(),
            "cause": self.cause.value,
            "mismatch": [
                mismatch_json(check, set_by, self.socket)
                for check, set_by in zip_longest(self.mismatch, self.set_by)
            ],
            "socket": self.socket and self.socket.to_json(),
            "candidates": self.candidates,
            "origin": self.origin and self.origin.to_json(),
            "told": [told.to_json() for told in self.told],
            "not_told": [socket.to_json() for socket in self.not_told],
            "untold": self.untold,
            "hints": list(self.hints),
            "advice": list(self.advice),
            "certain": self.certain,
            "caveats": list(self.caveats),
        }


def mismatch_json(
    check: Mismatch, set_by: SetBy | None = None, socket: Socket | None = None
) -> Json:
    """A check that refused, as the JSON stream tells of it."""
    made = set_by and set_by.to_json() | {"holds": socket and socket.held_by(set_by.by)}
    return {
        "field": check.field.value,
        "socket": check.socket,
        "datagram": check.datagram,
        "set_by": made,
    }


def datagram_json(datagram: Datagram) -> Json:
    """A datagram's headers, as the JSON stream tells of them."""
    return {
        "family": datagram.family,
        "src": datagram.src,
        "sport": datagram.sport,
        "dst": datagram.dst,
        "dport": datagram.dport,
        "ifindex": datagram.ifindex,
        "ifname": datagram.ifname or None,
        "length": datagram.length,
    }


def _time(ns: int | None) -> str | None:
    return None if ns is None else utc_text(ns)


def _id_text(number: int) -> str | None:
    """A 64-bit identifier: text, since JSON readers round large numbers; 0 is none."""
    return str(number) if number else None
