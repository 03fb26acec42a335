"""The kernel's table of misses, read once a second: exact counts of what was not streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from tracer.events import Event, Expired, MissCount
from tracer.wire import MissKey, MissValue, decode_count

# A key that has not missed for so long makes room; should it miss again, it is a new first time.
IDLE_NS = 60_000_000_000


class Table(Protocol):
    """What this module needs of the BPF program."""

    def misses(self) -> Iterator[tuple[MissKey, MissValue]]:
        """Every key with its counters."""

    def take_miss(self, key: MissKey) -> MissValue | None:
        """Take a key out, with its last counters."""


class MissTable:
    """Turns counters that have grown into MissCount events, and drops keys that went idle."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._reported: dict[bytes, tuple[int, ...]] = {}

    def read(self, now: int, fates_known: bool = True) -> list[Event]:
        """MissCount for each key whose count is not yet known, at ``now`` (monotonic ns); then
        Expired, if keys were dropped.

        Without ``fates_known`` the counts of ICMPs sent and limited are left out.
        """
        events: list[Event] = []
        idle = now - IDLE_NS
        dropped = False
        for key, value in self._table.misses():
            name, state = bytes(key), _state(value)
            if self._is_news(name, value, state):
                self._reported[name] = state
                events.append(_count(key, value, now, fates_known))
            elif value.last_ns < idle:
                dropped = True
                self._reported.pop(name, None)
                last = self._table.take_miss(key)
                if last is not None and _state(last) != state:
                    # It has missed once more since the table was read.
                    events.append(_count(key, last, now, fates_known))
        return [*events, Expired(now, idle)] if dropped else events

    def forget(self, own: Callable[[MissCount], bool]) -> None:
        """Drop the keys that are the self-test's own."""
        for key, value in list(self._table.misses()):
            if own(decode_count(key, value, 0)):
                self._table.take_miss(key)

    def _is_news(self, name: bytes, value: MissValue, state: tuple[int, ...]) -> bool:
        """A first miss that was streamed is known from its event; all else is compared."""
        if name not in self._reported:
            return int(value.total) != (1 if value.streamed_ns else 0)
        return self._reported[name] != state


def _count(key: MissKey, value: MissValue, now: int, fates_known: bool) -> MissCount:
    event = decode_count(key, value, now)
    return event if fates_known else replace(event, sent=None, limited=None)


def _state(value: MissValue) -> tuple[int, ...]:
    """What is told of a key: an ICMP read as not sent yet may have left a moment later."""
    return value.since_ns, value.total, value.sent, value.limited
