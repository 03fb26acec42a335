"""The incident: what missed, why, and who was concerned; frozen, and as JSON (schema 1)."""

from __future__ import annotations

from itertools import zip_longest
from typing import Literal

from tracer.causes import Cause
from tracer.events import Datagram
from tracer.frozen import frozen
from tracer.match import Mismatch
from tracer.parts import Json, Netns, SetBy, Socket, time_json

SCHEMA = 1


@frozen
class Told:
    """An error queued on a socket because of the miss; whether it was read is not known."""

    socket: Socket
    error: str
    time: int | None

    def to_json(self) -> Json:
        return {"socket": self.socket.to_json(), "error": self.error, "time": time_json(self.time)}


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
            "time": time_json(self.time),
            "mono_ns": self.mono_ns,
            "last_time": time_json(self.last_time),
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
