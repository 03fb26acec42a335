"""The incident: what missed, why, and who was concerned; frozen, and as JSON (schema 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracer.causes import Cause
from tracer.events import Datagram, Family
from tracer.match import Mismatch
from tracer.timefmt import utc_text

SCHEMA = 1

Json = dict[str, object]

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


@dataclass(frozen=True, slots=True)
class Netns:
    """A network namespace; ``cookie`` 0 where the kernel has none."""

    inum: int
    cookie: int
    name: str | None

    def to_json(self) -> Json:
        return {
            "inum": self.inum,
            "cookie": _id_text(self.cookie),
            "name": self.name,
            "container": None,
        }


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds a socket (then with ``fd``) or made a call on it; ``start`` in UTC."""

    pid: int
    comm: str
    fd: int | None
    start: int | None

    def to_json(self) -> Json:
        return {
            "pid": self.pid,
            "comm": self.comm,
            "fd": self.fd,
            "start_time": _time(self.start),
            "container": None,
        }


@dataclass(frozen=True, slots=True)
class LocalAndPeer:
    """A socket's two ends, as printed; ``peer`` None for an unconnected socket."""

    local: str
    peer: str | None

    def to_json(self) -> Json:
        return {"local": self.local, "peer": self.peer}


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Bind:
    """The bind() or autobind that gave an unconnected socket its port; ``time`` in UTC."""

    time: int | None
    by: Process
    automatic: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """When a socket was closed (UTC) and by whom; ``told``: the error it had been told before."""

    time: int | None
    by: Process
    told: str | None = None

    def to_json(self) -> Json:
        return {"time": _time(self.time), "by": self.by.to_json()}


@dataclass(frozen=True, slots=True)
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
        }


@dataclass(frozen=True, slots=True)
class Told:
    """An error queued on a socket because of the miss; whether it was read is not known."""

    socket: Socket
    error: str
    time: int | None

    def to_json(self) -> Json:
        return {"socket": self.socket.to_json(), "error": self.error, "time": _time(self.time)}


@dataclass(frozen=True, slots=True)
class NotTold:
    """A socket that sent the datagram and learned nothing, and why."""

    socket: Socket
    why: str

    def to_json(self) -> Json:
        return {"socket": self.socket.to_json(), "why": self.why}


IcmpStatus = Literal["sent", "rate-limited", "suppressed", "attempted", "received"]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Incident:
    """A miss and its repeats. Times are nanoseconds of UTC but for ``mono_ns``, None unknown."""

    id: str
    seq: int
    host: str | None
    boot_id: str | None
    time: int | None
    mono_ns: int
    last_time: int | None
    count: int
    datagram: Datagram
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
            "datagram": _datagram_json(self.datagram),
            "nat": None,
            "netns": self.netns.to_json(),
            "icmp": self.icmp.to_json(),
            "lookup": self.lookup.to_json(),
            "cause": self.cause.value,
            "mismatch": [_mismatch_json(check) for check in self.mismatch],
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


def _mismatch_json(check: Mismatch) -> Json:
    return {"field": check.field.value, "socket": check.socket, "datagram": check.datagram}


def _datagram_json(datagram: Datagram) -> Json:
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
