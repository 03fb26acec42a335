"""The episodes at hand: under their key, by flow, and those still settling; bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tracer.counts import Flow, MissKey, flow_before, flow_of
from tracer.episode import Episode
from tracer.events import Translation
from tracer.lru import Lru


@dataclass(slots=True, eq=False)
class KeyState:
    """What goes on under one key: misses still settling, and the incident that repeats join."""

    key: MissKey
    settling: list[Episode] = field(default_factory=list)
    judged: Episode | None = None
    nat: Translation | None = None
    """What was looked up of it last."""

    def episodes(self) -> Iterator[Episode]:
        """Latest first."""
        yield from reversed(self.settling)
        if self.judged is not None:
            yield self.judged

    def flows(self) -> tuple[Flow, ...]:
        """The four-tuples it is found by: its own, and that before a translation."""
        own = flow_of(self.key)
        before = flow_before(self.nat) if self.nat else own
        return (own,) if before == own else (own, before)

    def latest(self) -> Episode | None:
        """The episode that a repeat counted now belongs to."""
        return next(self.episodes(), None)


class Episodes:
    """Finds episodes; ``retire`` is called with what goes on under a key before it is forgotten."""

    def __init__(self, limit: int, retire: Callable[[KeyState], None]) -> None:
        self._keys: Lru[MissKey, KeyState] = Lru(limit)
        self._flows: dict[Flow, dict[MissKey, None]] = {}
        self._retire = retire
        self.settling: dict[Episode, None] = {}
        """Those without a verdict, in the order of their misses' arrival."""

    @property
    def forgotten(self) -> int:
        """How many keys were forgotten to stay within the limit."""
        return self._keys.forgotten

    def state(self, key: MissKey) -> KeyState:
        """What goes on under a key, which makes it the latest used."""
        state = self._keys.touch(key)
        if state is None:
            state = KeyState(key)
            self._link(state)
            for gone in self._keys.put(key, state):
                self._retire(gone)
                self._unlink(gone)
        return state

    def add(self, episode: Episode) -> None:
        """Add a miss that begins to settle."""
        self.state(episode.key).settling.append(episode)
        self.settling[episode] = None

    def settled(self, episode: Episode, state: KeyState) -> None:
        """Take an episode out of those that settle."""
        state.settling.remove(episode)
        del self.settling[episode]

    def of_flow(self, flow: Flow) -> Iterator[Episode]:
        """The episodes of a four-tuple, as it missed or before its translation."""
        for key in self._flows.get(flow, ()):
            state = self._keys.get(key)
            if state is not None:
                yield from state.episodes()

    def judged(self) -> list[Episode]:
        """The incident of each key, told or not."""
        return [state.judged for state in self._keys if state.judged is not None]

    def translated(self, translation: Translation) -> list[KeyState]:
        """What goes on of a datagram at its receiver; from now on it is found by the four-tuple
        before as well."""
        d = translation.datagram
        flow = Flow(d.src, d.sport, d.dst, d.dport)
        found = [
            state
            for key in self._flows.get(flow, ())
            if (key.netns, flow_of(key)) == (translation.receiver, flow)
            and not key.received
            and (state := self._keys.get(key)) is not None
        ]
        for state in found:
            self._unlink(state)
            state.nat = translation
            self._link(state)
        return found

    def _link(self, state: KeyState) -> None:
        for flow in state.flows():
            self._flows.setdefault(flow, {})[state.key] = None

    def _unlink(self, state: KeyState) -> None:
        for flow in state.flows():
            keys = self._flows[flow]
            del keys[state.key]
            if not keys:
                del self._flows[flow]
