"""Which namespaces are asked for the translation of a datagram that missed, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from tracer.events import Datagram, FourTuple, Miss, NetnsInfo, Translation
from tracer.lru import Lru

AGAIN_NS = 1_000_000_000
"""A flow that goes on missing is looked up again at most this often."""

QUESTIONS = 64
"""Questions a second, however much misses; each is a thread that enters a namespace."""

OTHERS = 8
"""Namespaces asked for one datagram besides the likely ones."""

# A scan is a new flow with each datagram: it must not have all these namespaces asked each time.
_RESERVE = QUESTIONS // 2

# Namespaces remembered because they have translated, which makes them likely to do so again.
_TRANSLATORS = 4

# Links of a namespace that has not been looked at: before those with loopback and one more.
_LINKS_UNKNOWN = 3

InfoOf = Callable[[int], NetnsInfo | None]
"""What is known of a namespace, by its inode number."""


class Tracker(Protocol):
    """Where connection tracking is asked: this machine, or a test's idea of one."""

    def is_tracking(self) -> bool:
        """Whether there is connection tracking that can be asked."""

    def own_netns(self) -> int:
        """The inode number of the network namespace we are in ourselves."""

    def namespaces(self) -> Iterable[int]:
        """The inode numbers of all that there are now, or were a moment ago."""

    def translation(self, netns: int, datagram: Datagram, receiver: int) -> Translation | None:
        """What a namespace's conntrack knows of a datagram; None where it has no entry.

        Raises LookupError where the namespace cannot be asked.
        """


class _Flow(NamedTuple):
    receiver: int
    ends: FourTuple


class Translations:
    """Asks for the datagrams that missed, at once, while the kernel's entries still live.

    A datagram is translated between its sender and its receiver: the receiver's namespace is asked
    first, then our own, where containers' ports are published, then some others. The first that
    translates is the answer; else, if there is one, the entry of the receiver that translates
    nothing.
    """

    def __init__(self, tracker: Tracker, limit: int) -> None:
        self._tracker = tracker
        self._wanted: dict[_Flow, Datagram] = {}
        self._not_before: Lru[_Flow, int] = Lru(limit)
        """When a flow may be looked up again (monotonic ns)."""
        self._translators: Lru[int, int] = Lru(_TRANSLATORS)
        self._questions = QUESTIONS
        """Left of this second."""
        self._second = 0

    def want(self, miss: Miss) -> None:
        """Have a miss's datagram looked up, unless that was done just now."""
        d = miss.datagram
        if len(self._wanted) < QUESTIONS:  # there is no time for more
            flow = _Flow(miss.netns, FourTuple(d.src, d.sport, d.dst, d.dport))
            self._wanted.setdefault(flow, d)

    @property
    def owed(self) -> bool:
        """Something has missed and was not looked up yet."""
        return bool(self._wanted)

    def look(self, info_of: InfoOf, now: int) -> list[Translation]:
        """What is known of the datagrams wanted. Those that there is no time for are let go: they
        are looked up when they miss again."""
        wanted, self._wanted = self._wanted, {}
        if not wanted or not self._tracker.is_tracking():
            return []
        if now - self._second >= AGAIN_NS:
            self._second, self._questions = now, QUESTIONS
        found = []
        for flow, datagram in wanted.items():
            if self._questions > 0 and now >= (self._not_before.get(flow) or 0):
                self._not_before.put(flow, now + AGAIN_NS)
                found.append(self._look_up(datagram, flow.receiver, info_of))
        return [translation for translation in found if translation is not None]

    def _look_up(self, datagram: Datagram, receiver: int, info_of: InfoOf) -> Translation | None:
        """The first answer that translates, else the receiver's."""
        plain = None
        for netns in self._in_order(datagram, receiver, info_of):
            answer = self._ask(netns, datagram, receiver)
            if answer is not None and answer.before != answer.datagram:
                self._translators.put(netns, netns)
                return answer
            if netns == receiver:
                plain = answer
        return plain

    def _ask(self, netns: int, datagram: Datagram, receiver: int) -> Translation | None:
        try:
            answer = self._tracker.translation(netns, datagram, receiver)
        except LookupError:
            return None
        self._questions -= 1
        return answer

    def _in_order(self, datagram: Datagram, receiver: int, info_of: InfoOf) -> Iterator[int]:
        """The namespaces to ask, the likely ones first."""
        yield receiver
        if datagram.ifname in ("lo", ""):
            return  # what arrives on loopback has not left its namespace
        near = dict.fromkeys((self._tracker.own_netns(), *reversed([*self._translators])))
        near.pop(receiver, None)
        yield from near
        floor = max(self._questions - OTHERS, _RESERVE)
        others = set(self._tracker.namespaces()) - {receiver, *near}
        for netns in sorted(others, key=lambda inum: _likelihood(datagram, info_of(inum))):
            if self._questions <= floor:
                return
            yield netns


def _likelihood(datagram: Datagram, info: NetnsInfo | None) -> tuple[bool, int, int]:
    """For sorting: first who holds the source, as masquerade gives it, then who has many links."""
    if info is None:
        return True, -_LINKS_UNKNOWN, 0
    return datagram.src not in info.addresses, -len(info.links), info.inum
