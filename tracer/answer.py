"""The answer to what would become of a datagram; frozen, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracer.causes import Cause
from tracer.events import Datagram
from tracer.incident import SCHEMA, datagram_json, mismatch_json
from tracer.match import Mismatch
from tracer.parts import Json, Netns, Socket
from tracer.timefmt import utc_text

NOT_EXAMINED = (
    "not examined: firewall and NAT rules, conntrack, XDP, TC, BPF sk_lookup, and the socket's own "
    "filter and buffer"
)

SILENT = "a broadcast that no socket takes dies without an ICMP"

Verdict = Literal["delivered", "missed"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A further socket on the port, and why it would not take the datagram."""

    socket: Socket
    mismatch: tuple[Mismatch, ...]
    why: str

    def to_json(self) -> Json:
        return {
            "socket": self.socket.to_json(),
            "mismatch": [mismatch_json(check) for check in self.mismatch],
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What would become of a datagram; ``verdict`` None: no socket would be looked up for it.

    ``socket`` takes it, or came nearest to that. Where the kernel picks one of several, ``group``
    has them all, ``socket`` first; a broadcast goes to each of them. ``why`` is the verdict in
    words, ``candidates`` as in `Incident`; ``time`` is UTC nanoseconds.
    """

    time: int
    verdict: Verdict | None
    datagram: Datagram
    netns: Netns
    way: str
    why: str
    broadcast: bool = False
    socket: Socket | None = None
    group: tuple[Socket, ...] = ()
    cause: Cause | None = None
    mismatch: tuple[Mismatch, ...] = ()
    candidates: int = 0
    nearest: tuple[Refusal, ...] = ()
    origin: Socket | None = None
    hints: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    certain: bool = True
    caveats: tuple[str, ...] = ()
    notes: tuple[str, ...] = (NOT_EXAMINED,)

    def to_json(self) -> Json:
        """The line of `--format json`, keys in the documented order."""
        return {
            "kind": "check",
            "schema": SCHEMA,
            "time": utc_text(self.time),
            "verdict": self.verdict,
            "why": self.why,
            "datagram": datagram_json(self.datagram) | {"length": None},
            "way": self.way or None,
            "broadcast": self.broadcast,
            "netns": self.netns.to_json(),
            "socket": self.socket and self.socket.to_json(),
            "group": [socket.to_json() for socket in self.group],
            "cause": self.cause and self.cause.value,
            "mismatch": [mismatch_json(check) for check in self.mismatch],
            "candidates": self.candidates,
            "nearest": [refusal.to_json() for refusal in self.nearest],
            "origin": self.origin and self.origin.to_json(),
            "hints": list(self.hints),
            "advice": list(self.advice),
            "certain": self.certain,
            "caveats": list(self.caveats),
            "notes": list(self.notes),
        }
