"""How often each miss repeated: the kernel's cumulative totals, turned into what is new in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tracer.events import IcmpReceived, Miss, MissCount, Translation
from tracer.lru import Lru

# How many of the kernel's countings of one key are remembered: one ends when the kernel drops the
# key, and a reading of it may still arrive after the first of the next.
_EPOCHS = 4


class MissKey(NamedTuple):
    """What the kernel counts repeats by; netns is the receiver's."""

    netns: int
    netns_cookie: int
    src: str
    sport: int
    dst: str
    dport: int
    icmp_type: int
    icmp_code: int
    ifindex: int
    received: bool = False
    """Of an ICMP that came in, not of a miss."""


class Flow(NamedTuple):
    """A datagram's four-tuple."""

    src: str
    sport: int
    dst: str
    dport: int


def key_of(event: Miss | MissCount | IcmpReceived) -> MissKey:
    """The kernel's key of a miss or of an ICMP that came in, as its BPF map has it."""
    if isinstance(event, IcmpReceived):
        icmp, received = (event.icmp.type, event.icmp.code), True
    else:
        icmp = (event.icmp_type, event.icmp_code)
        received = isinstance(event, MissCount) and event.received
    d = event.datagram
    flow = (d.src, d.sport, d.dst, d.dport)
    return MissKey(event.netns, event.netns_cookie, *flow, *icmp, d.ifindex, received)


def flow_of(key: MissKey) -> Flow:
    """The four-tuple within a key."""
    return Flow(key.src, key.sport, key.dst, key.dport)


def flow_before(translation: Translation) -> Flow:
    """The four-tuple of a datagram before its translation."""
    b = translation.before
    return Flow(b.src, b.sport, b.dst, b.dport)


@dataclass(slots=True)
class _Credited:
    """What has been credited of one counting of a key."""

    total: int = 0
    unsent: int | None = None
    """Misses whose ICMP never left, as far as told."""


def is_proven(event: Miss | MissCount) -> bool:
    """Whether UDP's receive path sent the ICMP, having found no socket.

    A count that does not tell is taken by its type and code, which a REJECT's can be, too.
    """
    if isinstance(event, MissCount) and event.received:
        return False
    if event.proven is not None:
        return event.proven
    port_unreachable = {"ipv4": (3, 3), "ipv6": (1, 4)}[event.datagram.family]
    return (event.icmp_type, event.icmp_code) == port_unreachable


@dataclass(slots=True)
class _Counted:
    """One key: its latest miss, and by when the kernel began to count what is credited."""

    last: int = 0
    epochs: dict[int, _Credited] = field(default_factory=dict)


class MissCounts:
    """What has been credited of each key's totals, epoch by epoch; bounded."""

    def __init__(self, limit: int) -> None:
        self._counted: Lru[MissKey, _Counted] = Lru(limit)
        self._forgot_until = -1

    @property
    def forgotten(self) -> int:
        """How many keys were forgotten to stay within the limit."""
        return self._counted.forgotten

    def credit(self, key: MissKey, event: Miss | MissCount | IcmpReceived) -> int:
        """How many of an event's total are new: 0 when a later reading came first."""
        counted = self._counted.touch(key)
        if counted is None:
            counted = _Counted()
            for gone in self._counted.put(key, counted):
                self._forgot_until = max(self._forgot_until, *gone.epochs)
        last = event.last if isinstance(event, MissCount) else event.time
        counted.last = max(counted.last, last)
        epochs, since, total = counted.epochs, event.since, event.total
        before = epochs[since].total if since in epochs else 0
        if total > before:
            epochs.setdefault(since, _Credited()).total = total
        if len(epochs) > _EPOCHS:
            del epochs[min(epochs)]
        return max(0, total - before)

    def expire(self, before: int) -> None:
        """Drop what the kernel counts no more, having last missed ``before`` (monotonic ns)."""
        self._counted.expire(lambda counted: counted.last < before)

    def credited(self, key: MissKey, since: int) -> int:
        """How many of the misses counted since then have been told of."""
        epoch = self._epoch(key, since)
        return epoch.total if epoch else 0

    def credit_unsent(self, key: MissKey, since: int, unsent: int) -> int:
        """What is new in the number of misses whose ICMP never left.

        Negative when one that was on its way at an earlier reading has left since.
        """
        epoch = self._epoch(key, since)
        if epoch is None:
            return 0
        before, epoch.unsent = epoch.unsent or 0, unsent
        return unsent - before

    def credit_first_unsent(self, key: MissKey, since: int) -> int:
        """1 for a first miss whose ICMP never left, unless the kernel's count has it already."""
        epoch = self._epoch(key, since)
        if epoch is None or epoch.unsent is not None:
            return 0
        epoch.unsent = 1
        return 1

    def may_repeat(self, since: int) -> bool:
        """Whether a total counted since then may hold misses already told and since forgotten."""
        return since <= self._forgot_until

    def _epoch(self, key: MissKey, since: int) -> _Credited | None:
        counted = self._counted.get(key)
        return counted.epochs.get(since) if counted else None
