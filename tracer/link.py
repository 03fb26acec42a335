"""The linker: events in, incidents out, the same live and in replay; bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from tracer.addresses import is_any, unmapped
from tracer.compose import compose
from tracer.counts import Flow, MissCounts, MissKey, flow_of, key_of
from tracer.describe import Describer
from tracer.episode import Episode, miss_from_count, same_verdict
from tracer.events import (
    Call,
    Clock,
    Close,
    End,
    Event,
    Header,
    IcmpFate,
    Loss,
    Miss,
    MissCount,
    NetnsInfo,
    Owners,
    SockError,
    SocketSeen,
    SocketView,
)
from tracer.incident import Incident
from tracer.judge import Judge
from tracer.lru import Lru
from tracer.match import is_connected
from tracer.namespaces import Namespaces
from tracer.origin import OriginFinder
from tracer.socktable import SocketTable, ends_of
from tracer.timefmt import NS, Anchor

SETTLE_NS = 200_000_000
CLOSED_WINDOW_NS = 60 * NS

# A loss touches the verdicts on misses this near to it.
_LOSS_REACH_NS = NS

# Errors of one flow kept until the misses they belong to are counted.
_PARKED = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is remembered; what goes beyond is forgotten, least recently used first."""

    sockets: int = 32768
    closed: int = 8192
    namespaces: int = 4096
    keys: int = 65536
    """Misses whose totals are remembered."""
    incidents: int = 2048
    """Misses whose repeats still join an incident."""
    settling: int = 4096
    parked: int = 1024
    """Flows with an error told and no miss counted yet."""


@dataclass(frozen=True, slots=True)
class IncidentUpdate:
    """An incident, new or changed; ``previous`` is what was told of it before."""

    incident: Incident
    previous: Incident | None


@dataclass(frozen=True, slots=True)
class Stats:
    """The totals of a trace so far. ``duration`` is nanoseconds of event time."""

    duration: int
    misses: int
    incidents: int
    sockets: int
    probes: int
    losses: dict[str, int]
    """How many of each kind were lost, by the names of `events.LOSSES`."""
    forgotten: dict[str, int]
    """What had to go to stay within the limits; only what is not 0."""


@dataclass(slots=True)
class _Key:
    """What goes on under one key: misses still settling, and the incident that repeats join."""

    settling: list[Episode] = field(default_factory=list)
    judged: Episode | None = None

    def episodes(self) -> Iterator[Episode]:
        """Latest first."""
        yield from reversed(self.settling)
        if self.judged is not None:
            yield self.judged


class Linker:
    """Consumes the events of one trace in their order; see `feed`.

    A miss is held for ``settle_ns`` of event time, because the errors told and the owners of
    sockets arrive after it. Nothing but the events decides what comes out, and when.
    """

    def __init__(
        self,
        targets: frozenset[int] = frozenset(),
        *,
        settle_ns: int = SETTLE_NS,
        closed_window_ns: int = CLOSED_WINDOW_NS,
        limits: Limits | None = None,
    ) -> None:
        self._targets = targets
        self._settle_ns = settle_ns
        self._limits = limits or Limits()
        self._table = SocketTable(self._limits.sockets, self._limits.closed, closed_window_ns)
        self._namespaces = Namespaces(self._limits.namespaces)
        self._judge = Judge(self._table, self._namespaces, closed_window_ns)
        self._origins = OriginFinder(self._table, self._namespaces)
        self._counts = MissCounts(self._limits.keys)
        self._keys: Lru[MissKey, _Key] = Lru(self._limits.incidents)
        self._flows: dict[Flow, dict[MissKey, None]] = {}
        self._settling: dict[Episode, None] = {}
        self._settled_early = 0
        self._parked: Lru[Flow, list[SockError]] = Lru(self._limits.parked)
        self._recent: deque[Episode] = deque(maxlen=self._limits.settling)
        self._losses: deque[Loss] = deque(maxlen=64)
        self._lost: dict[str, int] = {}
        self._due: list[tuple[int, int, Episode]] = []
        self._pushed = 0
        self._out: list[IncidentUpdate] = []
        self._header: Header | None = None
        self._anchor: Anchor | None = None
        self._began: int | None = None
        self._now = 0
        self._misses = 0
        self._incidents = 0

    # The interface

    def feed(self, event: Event) -> list[IncidentUpdate]:
        """Take in the next event; returns the incidents due, from before the event's own doing."""
        self._now = max(self._now, event.time)
        if self._began is None:
            self._began = event.time
        self._run_due()
        self._take(event)
        return self._drain()

    def flush(self) -> list[IncidentUpdate]:
        """Everything held back, for a trace that stopped without an End."""
        self._run_due(everything=True)
        return self._drain()

    def next_deadline(self) -> int | None:
        """The event time at which something is due: a live trace owes a Tick when it has passed."""
        while self._due and self._due[0][2].due != self._due[0][0]:
            heappop(self._due)
        return self._due[0][0] if self._due else None

    @property
    def stats(self) -> Stats:
        """The totals so far; what has not been told yet is not in them."""
        forgotten = {
            "sockets": self._table.forgotten,
            "namespaces": self._namespaces.forgotten,
            "counts of misses": self._counts.forgotten,
            "incidents": self._keys.forgotten,
            "errors told": self._parked.forgotten,
            "misses settled early": self._settled_early,
        }
        return Stats(
            duration=self._now - self._began if self._began is not None else 0,
            misses=self._misses,
            incidents=self._incidents,
            sockets=len(self._table),
            probes=len(self._header.probes) if self._header else 0,
            losses=dict(self._lost),
            forgotten={what: count for what, count in forgotten.items() if count},
        )

    # Events

    def _take(self, event: Event) -> None:
        match event:
            case Miss():
                self._miss(event)
            case MissCount():
                self._count(event)
            case IcmpFate():
                self._fate(event)
            case SockError():
                self._table.told(event)
                if event.errno:
                    self._place(event)
            case Call():
                self._table.called(event)
            case Close():
                self._table.close(event)
            case SocketSeen():
                self._table.observe(event.socket, event.time)
            case Owners():
                self._table.owned(event)
            case NetnsInfo():
                self._namespaces.learn(event)
            case Loss():
                self._loss(event)
            case Header():
                self._header = event
                self._anchor = Anchor(event.time, event.realtime_ns, event.boottime_ns)
            case Clock():
                self._anchor = Anchor(event.time, event.realtime_ns, event.boottime_ns)
            case End():
                self._run_due(everything=True)
            case _:
                pass

    def _miss(self, miss: Miss) -> None:
        for view in miss.walk.candidates if miss.walk else ():
            self._table.observe(view, miss.time)
        key = key_of(miss)
        new = self._counts.credit(key, miss.since, miss.total)
        state = self._state(key)
        latest = next(state.episodes(), None)
        if new == 0 and latest is not None and not latest.streamed and latest.verdict is None:
            # Its count came first; now the evidence is there too.
            latest.miss, latest.streamed = miss, True
            latest.known, latest.origin = self._judge.known_on_port(miss), self._origins.find(miss)
            latest.caveats.clear()
            return
        if new > 1 and latest is not None:
            # The repeats before this one happened under what was true then.
            self._credit(latest, new - 1, miss.time)
            new = 1
        episode = self._episode(key, miss, new, miss.time, streamed=True)
        if new > 1:
            earlier = f"{new - 1} earlier ones were counted without their evidence"
            episode.caveats.append(earlier)

    def _count(self, event: MissCount) -> None:
        key = key_of(event)
        new = self._counts.credit(key, event.since, event.total)
        if not new:
            return
        state = self._state(key)
        latest = next(state.episodes(), None)
        if latest is not None:
            self._credit(latest, new, event.last)
            self._unpark(key)
            return
        miss = miss_from_count(event, event.total - new)
        episode = self._episode(key, miss, new, event.last, streamed=False)
        episode.caveats.append("known from the kernel's counter only")

    def _fate(self, event: IcmpFate) -> None:
        """Microseconds after its miss, so it is among the latest still settling."""
        for episode in reversed(self._settling):
            if episode.miss.time == event.miss:
                episode.fate = event.status
                return

    def _loss(self, event: Loss) -> None:
        self._lost[event.what] = self._lost.get(event.what, 0) + event.count
        self._losses.append(event)
        for episode in self._recent:
            near = abs(event.time - episode.miss.time) <= _LOSS_REACH_NS
            if near or episode.verdict is None:
                episode.lose(event.what, event.count)
                self._changed(episode)

    # Episodes

    def _state(self, key: MissKey) -> _Key:
        state = self._keys.touch(key)
        if state is None:
            state = _Key()
            self._flows.setdefault(flow_of(key), {})[key] = None
            for gone in self._keys.put(key, state):
                self._retire(gone)
        return state

    def _retire(self, state: _Key) -> None:
        """Tell what is still to be told of a key before it is forgotten."""
        episodes = list(state.episodes())
        for episode in reversed(episodes):
            if episode.verdict is None:
                self._settle(episode, state)
        if state.judged is not None and state.judged.due is not None:
            self._publish(state.judged)
        for episode in episodes[:1]:
            flow = flow_of(episode.key)
            self._flows[flow].pop(episode.key, None)
            if not self._flows[flow]:
                del self._flows[flow]

    def _episode(
        self, key: MissKey, miss: Miss, count: int, last: int, *, streamed: bool
    ) -> Episode:
        known, origin = self._judge.known_on_port(miss), self._origins.find(miss)
        episode = Episode(key, miss, streamed, known, origin, self._anchor, count, last)
        if miss.total > 1 and self._counts.may_repeat(miss.since):
            episode.caveats.append("its count may hold misses told before: the table was full")
        for loss in self._losses:
            if abs(loss.time - miss.time) <= _LOSS_REACH_NS:
                episode.lose(loss.what, loss.count)
        self._state(key).settling.append(episode)
        self._settling[episode] = None
        self._remember(episode)
        self._schedule(episode, max(self._now, miss.time) + self._settle_ns)
        self._unpark(key)
        if len(self._settling) > self._limits.settling:
            self._settled_early += 1
            oldest = next(iter(self._settling))
            self._settle(oldest, self._state(oldest.key))
        return episode

    def _remember(self, episode: Episode) -> None:
        """Keep what a loss told later can still touch."""
        self._recent.append(episode)
        oldest = self._now - _LOSS_REACH_NS - self._settle_ns
        while self._recent[0].verdict is not None and self._recent[0].miss.time < oldest:
            self._recent.popleft()

    def _credit(self, episode: Episode, count: int, last: int) -> None:
        episode.count += count
        episode.last = max(episode.last, last)
        self._changed(episode)

    def _changed(self, episode: Episode) -> None:
        """Have a change of a settled episode told in its time."""
        if episode.verdict is not None and episode.due is None:
            self._schedule(episode, episode.next_update(self._now))

    def _settle(self, episode: Episode, state: _Key) -> None:
        """Judge an episode: it joins the incident with the same verdict, or becomes one."""
        state.settling.remove(episode)
        del self._settling[episode]
        episode.due = None
        if episode.origin.socket is None:
            episode.origin = self._origins.find(episode.miss)
        began = self._header.time if self._header else None
        describer = self._describer(episode)
        verdict = self._judge.judge(episode.miss, episode.known, describer, began)
        episode.verdict = verdict
        earlier = state.judged
        if earlier is None or earlier.verdict is None:
            state.judged = episode
            self._publish(episode)
        elif not earlier.streamed and episode.count == 0:
            self._substantiate(earlier, episode)
        elif same_verdict(earlier.verdict, verdict):
            earlier.absorb(episode)
            self._changed(earlier)
        elif episode.count or self._take_one(earlier, episode):
            state.judged = episode
            self._publish(episode)

    def _substantiate(self, earlier: Episode, episode: Episode) -> None:
        """Put late evidence under an incident that was known from its count only."""
        earlier.miss, earlier.verdict = episode.miss, episode.verdict
        earlier.origin, earlier.streamed = episode.origin, True
        earlier.caveats.clear()
        earlier.absorb(episode)
        self._changed(earlier)

    def _take_one(self, earlier: Episode, episode: Episode) -> bool:
        """A miss that was counted before its evidence came, under the incident before its own."""
        if earlier.count < 2:
            return False
        earlier.count -= 1
        episode.count = 1
        self._changed(earlier)
        return True

    # Errors told

    def _place(self, error: SockError) -> None:
        """Note an error with the miss that caused it, or keep it until that is counted."""
        episode = self._concerned(error)
        if episode is not None:
            if episode.tell(self._table.key(error.socket), error):
                self._changed(episode)
        elif is_connected(error.socket):
            flow = Flow(*ends_of(error.socket))
            parked = self._parked.touch(flow) or []
            self._parked.put(flow, [*parked, error][-_PARKED:])

    def _unpark(self, key: MissKey) -> None:
        for error in self._parked.pop(flow_of(key)) or ():
            self._place(error)

    def _concerned(self, error: SockError) -> Episode | None:
        """The latest miss an error can be about."""
        if is_connected(error.socket):
            keys = self._flows.get(Flow(*ends_of(error.socket)), {})
            states = [state for key in keys if (state := self._keys.get(key))]
            episodes = [episode for state in states for episode in state.episodes()]
        else:
            episodes = [e for e in self._settling if self._sent(error.socket, e)]
        in_time = [e for e in episodes if e.miss.time <= error.time <= e.last + self._settle_ns]
        return max(in_time, key=lambda e: e.miss.time, default=None)

    def _sent(self, view: SocketView, episode: Episode) -> bool:
        """Whether an unconnected socket can have sent an episode's datagram."""
        datagram = episode.miss.datagram
        if view.lport != datagram.sport:
            return False
        if is_any(view.local):
            return self._namespaces.holds(view.netns, datagram.src)
        return unmapped(view.local) == datagram.src

    # What comes out

    def _schedule(self, episode: Episode, due: int) -> None:
        episode.due = due
        self._pushed += 1
        heappush(self._due, (due, self._pushed, episode))

    def _run_due(self, *, everything: bool = False) -> None:
        """Settle and tell what is due by now, in the order of the deadlines."""
        while (due := self.next_deadline()) is not None and (everything or due <= self._now):
            episode = heappop(self._due)[2]
            if episode.verdict is None:
                self._settle(episode, self._state(episode.key))
            else:
                self._publish(episode)

    def _publish(self, episode: Episode) -> None:
        """Tell an incident, unless no target is concerned (then a later event may change that)."""
        episode.due = None
        if episode.verdict is None or not self._selected(episode):
            return
        previous = episode.incident
        incident = compose(episode, episode.verdict, self._describer(episode), self._header)
        episode.published(incident, self._now)
        self._misses += incident.count - (previous.count if previous else 0)
        self._incidents += previous is None
        self._out.append(IncidentUpdate(incident, previous))

    def _selected(self, episode: Episode) -> bool:
        if not self._targets:
            return True
        origin = episode.origin.socket
        concerned = {episode.miss.netns, *(e.socket.netns for e in episode.told.values())}
        if origin is not None:
            concerned.add(origin.netns)
        return not concerned.isdisjoint(self._targets)

    def _describer(self, episode: Episode) -> Describer:
        """By the clock at the miss: the times of an incident must not move between updates."""
        return Describer(self._table, self._namespaces, episode.anchor)

    def _drain(self) -> list[IncidentUpdate]:
        out, self._out = self._out, []
        return out
