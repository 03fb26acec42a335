"""A transition: what a call made of one UDP socket, and its JSON object."""

from __future__ import annotations

from typing import Literal, get_args

from tracer.events import Family
from tracer.frozen import frozen
from tracer.incident import SCHEMA
from tracer.parts import Json, Netns, Process
from tracer.timefmt import utc_text

What = Literal[
    "created", "bound", "autobound", "connected", "reconnected", "disconnected", "closed", "failed"
]
WHAT: tuple[What, ...] = get_args(What)

Made = Literal["socket", "bind", "autobind", "connect", "disconnect", "close"]
"""The call."""

AddressFrom = Literal["requested", "route", "kept"]
"""Where the local address came from: bind() asked for it, the route that connect() looked up has
it, or it was there before a connect()."""

PortFrom = Literal["requested", "kernel-chosen"]

Within = Literal["connect", "send"]


@frozen
class Ends:
    """A socket at one moment, in ss's words; ``peer`` None where it has none."""

    state: Literal["ESTAB", "UNCONN"]
    local: str
    peer: str | None
    device: str | None = None

    def to_json(self) -> Json:
        return {
            "state": self.state,
            "local": self.local,
            "peer": self.peer,
            "device": self.device,
        }


@frozen
class Ports:
    """The ports the kernel chooses from in a namespace; ``reserved`` as the sysctl has it."""

    first: int
    last: int
    reserved: str

    def to_json(self) -> Json:
        return {"first": self.first, "last": self.last, "reserved": self.reserved or None}


@frozen
class Transition:
    """What a call made of a socket, or failed to; ``time`` of its return, in UTC.

    ``within``: for an autobind or a disconnect, the call that made it; None: not told. ``ports``:
    for an autobind that found none free. ``before`` and ``after`` are None where there is nothing.
    ``meaning``: whom it takes datagrams from now, in words.
    """

    time: int | None
    mono_ns: int
    what: What
    call: Made
    by: Process
    netns: Netns
    family: Family
    inode: int
    cookie: int
    before: Ends | None
    after: Ends | None
    meaning: str
    requested: str | None = None
    address_from: AddressFrom | None = None
    port_from: PortFrom | None = None
    within: Within | None = None
    error: str | None = None
    ports: Ports | None = None

    def to_json(self) -> Json:
        """The object of the JSON stream, keys in the documented order."""
        return {
            "kind": "transition",
            "schema": SCHEMA,
            "time": None if self.time is None else utc_text(self.time),
            "mono_ns": self.mono_ns,
            "what": self.what,
            "call": self.call,
            "by": self.by.to_json(),
            "netns": self.netns.to_json(),
            "family": self.family,
            "inode": self.inode or None,
            "cookie": str(self.cookie) if self.cookie else None,
            "requested": self.requested,
            "before": self.before and self.before.to_json(),
            "after": self.after and self.after.to_json(),
            "address_from": self.address_from,
            "port_from": self.port_from,
            "within": self.within,
            "error": self.error,
            "ports": self.ports and self.ports.to_json(),
            "meaning": self.meaning,
        }
