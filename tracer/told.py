"""Errors told to sockets: each finds the miss it is about, or waits until that is counted."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.addresses import ANY4, ANY6, is_any, unmapped
from tracer.attribution import is_ambiguous, possible_misses
from tracer.counts import Flow
from tracer.episode import Episode
from tracer.episodes import Episodes
from tracer.events import SockError, SocketView
from tracer.lru import Lru
from tracer.match import is_connected
from tracer.namespaces import Namespaces
from tracer.socktable import ends_of

# Errors of one flow that wait at a time.
_WAITING = 4

_AMBIGUOUS = "an error was queued on a socket that can have sent this or its like in another netns"


class ErrorsTold:
    """Repeats are counted in the kernel, so an error can come before the count of its miss."""

    def __init__(
        self, episodes: Episodes, namespaces: Namespaces, settle_ns: int, limit: int
    ) -> None:
        self._episodes = episodes
        self._namespaces = namespaces
        self._settle_ns = settle_ns
        self._waiting: Lru[Flow, list[SockError]] = Lru(limit)

    @property
    def forgotten(self) -> int:
        """How many flows' errors were forgotten to stay within the limit."""
        return self._waiting.forgotten

    def place(self, error: SockError) -> Episode | None:
        """The latest miss an error can be about; without one the error waits."""
        episode = self._concerned(error)
        if episode is None:
            flow = _flow(error.socket)
            self._waiting.put(flow, [*(self._waiting.get(flow) or ()), error][-_WAITING:])
        return episode

    def waiting(self, flow: Flow) -> list[SockError]:
        """The errors of a flow that wait, to be placed again now that more is known of it."""
        if not len(self._waiting):  # as nearly always
            return []
        unconnected = (Flow(local, flow.sport, "", 0) for local in (flow.src, ANY4, ANY6))
        return [error for key in (flow, *unconnected) for error in self._waiting.pop(key) or ()]

    def _concerned(self, error: SockError) -> Episode | None:
        in_time = [
            episode
            for episode in self._episodes_of(error.socket)
            if episode.miss.time <= error.time <= episode.last + self._settle_ns
        ]
        # Before one elsewhere a miss seen here.
        here = [episode for episode in in_time if episode.received is None]
        possible = possible_misses(error.socket, here or in_time)
        if is_ambiguous(possible):
            for episode in possible:
                episode.doubt(_AMBIGUOUS)
            return None
        return max(possible, key=lambda episode: episode.miss.time, default=None)

    def _episodes_of(self, view: SocketView) -> Iterator[Episode]:
        """Misses of datagrams a socket sent: by its four-tuple; else those just now in the air."""
        if is_connected(view):
            yield from self._episodes.of_flow(_flow(view))
        else:
            yield from (e for e in self._episodes.settling if self._sends(view, e))

    def _sends(self, view: SocketView, episode: Episode) -> bool:
        """Whether an unconnected socket (told because of IP_RECVERR) can have sent a datagram."""
        sent = episode.sent
        if view.lport != sent.sport:
            return False
        if is_any(view.local):
            return self._namespaces.holds(view.netns, sent.src, view.netns_cookie)
        return unmapped(view.local) == sent.src


def _flow(view: SocketView) -> Flow:
    return Flow(*ends_of(view))
