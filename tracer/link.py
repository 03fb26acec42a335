"""The linker: events in, incidents out, the same live and in replay; bounded memory."""

from __future__ import annotations

from collections import deque

from tracer.between import Between
from tracer.causes import Cause
from tracer.compose import UNSENT, compose, icmp_status
from tracer.counts import MissCounts, MissKey, flow_before, flow_of, key_of
from tracer.deadlines import Deadlines
from tracer.describe import Describer
from tracer.episode import Episode, miss_from_count, miss_from_received, same_verdict
from tracer.episodes import Episodes, KeyState
from tracer.events import (
    CARRIED_OVER,
    LOOKED_UP,
    Call,
    Carried,
    Clock,
    Close,
    Counters,
    End,
    Event,
    Expired,
    Header,
    IcmpFate,
    IcmpReceived,
    InContainer,
    Loss,
    Miss,
    MissCount,
    NetnsContainers,
    NetnsInfo,
    PortDump,
    ReceivedIcmp,
    SockError,
    SocketView,
    TargetChange,
    Translation,
)
from tracer.frozen import frozen
from tracer.incident import Incident
from tracer.inhabitants import Inhabitants
from tracer.judge import Judge, Verdict
from tracer.namespaces import Namespaces, same_netns
from tracer.origin import OriginFinder
from tracer.parts import Netns, Socket
from tracer.select import Selection
from tracer.silence import NetnsSilence, Silence
from tracer.socktable import Ends, SocketTable
from tracer.targets import TargetSet
from tracer.timefmt import NS, Anchor
from tracer.told import ErrorsTold
from tracer.totals import Limits, Stats
from tracer.translations import AGAIN_NS

SETTLE_NS = 200_000_000
CLOSED_WINDOW_NS = 60 * NS

# A loss touches the verdicts on misses this near to it.
_LOSS_REACH_NS = NS

# The ICMP of a miss that happened here arrives within this time of what is known of it. After a
# pause of a second its evidence is sent again; else it is counted, and the counts are read once a
# second.
_RENEWED_NS = 2_500_000_000

# Losses remembered for the misses that come after them.
_LOSSES = 64

# Races remembered for the connect() that explains them: a call is recorded when it returns.
_RACES = 64


@frozen
class IncidentUpdate:
    """An incident, new or changed; ``previous`` is what was told of it before."""

    incident: Incident
    previous: Incident | None


class Linker:
    """Consumes the events of one trace in their order; see `feed`.

    A miss is held for ``settle_ns`` of event time, because the errors told and the owners of
    sockets arrive after it. Nothing but the events decides what comes out, and when. ``targets``
    are inode numbers of network namespaces, to which come those of the containers it is told to be
    ``following``: incidents that concern none of them are not told, nor what ``selection`` does not
    want.
    """

    def __init__(
        self,
        targets: frozenset[int] = frozenset(),
        *,
        following: bool = False,
        settle_ns: int = SETTLE_NS,
        closed_window_ns: int = CLOSED_WINDOW_NS,
        limits: Limits | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._selection = selection or Selection()
        asked = self._selection.containers
        self._targets = TargetSet(targets, following=following, containers=asked)
        self._settle_ns = settle_ns
        self._limits = limits = limits or Limits()
        self._table = SocketTable(limits.sockets, limits.closed, closed_window_ns)
        self._namespaces = Namespaces(limits.namespaces)
        self._inhabitants = Inhabitants(limits.sockets)
        self._judge = Judge(self._table, self._namespaces, closed_window_ns)
        self._origins = OriginFinder(self._table, self._namespaces)
        self._between = Between(self._table, limits.errors)
        self._counts = MissCounts(limits.keys)
        self._silence = Silence(limits.namespaces)
        self._episodes = Episodes(limits.incidents, self._retire)
        self._errors = ErrorsTold(self._episodes, self._namespaces, settle_ns, limits.errors)
        self._deadlines = Deadlines()
        self._settled_early = 0
        self._recent: deque[Episode] = deque(maxlen=limits.settling)
        self._losses: deque[Loss] = deque(maxlen=_LOSSES)
        self._races: deque[Episode] = deque(maxlen=_RACES)
        self._lost: dict[str, int] = {}
        self._out: list[IncidentUpdate] = []
        self._header: Header | None = None
        self._anchor: Anchor | None = None
        self._began: int | None = None
        self._now = 0
        self._carrying = False
        """What comes was known before the file that is read began."""
        self._misses = 0
        self._incidents = 0
        self._untold = 0
        self._untold_open = 0
        """Incidents of which more misses may have been told to nobody."""

    # The interface

    def feed(self, event: Event) -> list[IncidentUpdate]:
        """Take in the next event; returns what is due by its time, settled before the event.

        What was looked up has no part in time: it is only taken in.
        """
        if type(event) in LOOKED_UP:
            # It must not come too late for a miss that would settle by the look-up's own time.
            self._take(event)
            return self._drain()
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
        return self._deadlines.next()

    def describe(self, view: SocketView) -> Socket:
        """A socket as ``view`` shows it, with what is known of it by now."""
        describer = Describer(self._table, self._namespaces, self._anchor, self._inhabitants)
        return describer.socket(view, self._now)

    @property
    def stats(self) -> Stats:
        """The totals so far; what has not been told yet is not in them."""
        forgotten = {
            "sockets": self._table.forgotten,
            "network namespaces": self._namespaces.forgotten,
            "counts of misses": self._counts.forgotten,
            "incidents": self._episodes.forgotten,
            "errors told": self._errors.forgotten,
            "counters of network namespaces": self._silence.forgotten,
            "settling times": self._settled_early,
        }
        return Stats(
            duration=self._now - self._began if self._began is not None else 0,
            misses=self._misses,
            incidents=self._incidents,
            untold=self._untold,
            untold_exact=not self._untold_open,
            sockets=len(self._table),
            probes=len(self._header.probes) if self._header else 0,
            losses=dict(self._lost),
            forgotten={what: count for what, count in forgotten.items() if count},
            silence=self._silences(),
        )

    def _silences(self) -> tuple[NetnsSilence, ...]:
        """What died silently where, of the namespaces asked for."""
        describer = Describer(self._table, self._namespaces, self._anchor, self._inhabitants)
        return tuple(
            part
            for part in self._silence.parts(describer, doubtful=bool(self._counts.forgotten))
            if self._targets.has(part.netns.inum, part.netns.cookie)
        )

    # Events

    def _take(self, event: Event) -> None:
        self._table.learn(event)
        if self._carrying and not self._carry(event):
            return
        match event:  # the most frequent ones first
            case Call():
                self._judge.note(event)
                self._reconsider(event)
            case Close():
                self._judge.note(event)
            case Miss():
                self._miss(event)
            case MissCount():
                self._count(event)
            case IcmpReceived():
                self._received(event)
            case IcmpFate():
                self._fate(event)
            case PortDump():
                self._completed(event)
            case SockError():
                if event.errno:
                    self._tell(event)
            case Counters():
                self._silence.read(event)
                self._targets.counted(event)
            case Expired():
                self._counts.expire(event.before)
            case NetnsInfo():
                self._namespaces.learn(event)
            case NetnsContainers():
                self._inhabited(event)
                if self._targets.inhabited(event):
                    self._reach_back()
            case InContainer():
                self._inhabitants.learn(event)
            case TargetChange():
                self._retarget(event)
            case Translation():
                self._translated(event)
            case Loss():
                self._loss(event)
            case Header():
                self._header, self._anchor = event, Anchor.of(event)
                self._carrying = event.carried
            case Clock():
                self._anchor = Anchor.of(event)
            case End():
                self._run_due(everything=True)
            case _:
                # A Tick says only that time has passed; what is said of sockets has been taken in.
                pass

    def _carry(self, event: Event) -> bool:
        """Whether an event that a file carries over from before it is to be taken as any other."""
        match event:
            case MissCount():
                key = key_of(event)
                self._counts.credit(key, event)
                if event.sent is not None:
                    self._counts.credit_unsent(key, event.since, event.total - event.sent)
                return False
            case Carried():
                self._began, self._carrying = event.time, False
                return False
            case _:
                # Anything else shows that the line that ends what is carried over is damaged.
                self._carrying = isinstance(event, CARRIED_OVER)
                return True

    def _miss(self, miss: Miss) -> None:
        key = key_of(miss)
        new = self._counts.credit(key, miss)
        self._silence.missed(miss, new)
        latest = self._episodes.state(key).latest()
        if latest is None:
            self._begin(miss, new, miss.time)
        elif new == 0 and not latest.streamed and latest.verdict is None:
            self._back(latest, miss)
        elif new or not latest.streamed or miss.time > latest.miss.time:
            # The repeats before this one happened under what was true then.
            self._credit(latest, max(0, new - 1), miss.time)
            self._begin(miss, min(new, 1), miss.time)

    def _count(self, event: MissCount) -> None:
        key = key_of(event)
        new = self._counts.credit(key, event)
        self._silence.counted(event, new)
        state = self._episodes.state(key)
        latest = state.latest()
        if latest is not None:
            self._credit(latest, new, event.last)
            self._tell_waiting(state)
        elif new and not event.received:
            miss = miss_from_count(event, event.total - new)
            latest = self._begin(miss, new, event.last, streamed=False)
        if latest is not None:
            self._credit_fates(latest, event)

    def _credit_fates(self, episode: Episode, event: MissCount) -> None:
        """How many of a key's ICMPs never left, from the kernel's count of those that did."""
        if event.received:
            return
        if event.sent is None:
            episode.fates_counted = False
            return
        unsent = event.total - event.sent
        new = self._counts.credit_unsent(episode.key, event.since, unsent)
        if new:
            episode.unsent += new
            self._changed(episode)

    def _received(self, event: IcmpReceived) -> None:
        """Of a miss on another machine, unless it is the ICMP of one seen here."""
        key = key_of(event)
        new = self._counts.credit(key, event)
        if self._missed_here(key, event.time) is not None:
            return
        latest = self._episodes.state(key).latest()
        if latest is not None:
            self._credit(latest, new, event.time)
        else:
            # Its counter can have been read first, when there was nothing yet to count it with.
            count = new or self._counts.credited(key, event.since)
            self._begin(miss_from_received(event), count, event.time, received=event.icmp)

    def _missed_here(self, key: MissKey, when: int) -> Episode | None:
        """The miss on this machine that an ICMP received at ``when`` is about."""
        for episode in self._episodes.of_flow(flow_of(key)):
            seen = max(episode.last, episode.miss.time)
            if episode.received is None and episode.miss.time <= when <= seen + _RENEWED_NS:
                return episode
        return None

    def _fate(self, event: IcmpFate) -> None:
        """Microseconds after its miss, so it is among the latest: those still settling, unless the
        processor between the two was taken away for long."""
        for episode in reversed(self._recent):
            if episode.miss.time == event.miss:
                episode.fate = event.status
                if episode.verdict is not None and episode.joined is None:
                    self._left_late(episode)
                return

    def _left_late(self, episode: Episode) -> None:
        """Take back that the only miss of a key was told to nobody; of more, counts tell."""
        key, since = episode.key, episode.miss.since
        if episode.fate == "sent" and self._counts.credited(key, since) == 1:
            episode.unsent += self._counts.credit_unsent(key, since, 0)
        self._changed(episode)

    def _completed(self, dump: PortDump) -> None:
        """What was read for a miss, which waits for all that happened until then."""
        for episode in reversed(self._episodes.settling):
            if (episode.miss.time, episode.key.netns) == (dump.miss, dump.netns):
                episode.dump = dump
                if episode.due is not None and episode.due <= dump.time:
                    self._deadlines.set(episode, dump.time + 1)
                return

    def _loss(self, event: Loss) -> None:
        self._lost[event.what] = self._lost.get(event.what, 0) + event.count
        self._losses.append(event)
        for episode in self._recent:
            near = abs(event.time - episode.miss.time) <= _LOSS_REACH_NS
            if near or episode.verdict is None:
                holder = episode.joined or episode
                holder.lose(event.what, event.count)
                self._changed(holder)

    def _tell(self, error: SockError) -> None:
        """Note an error with the miss that caused it."""
        episode = self._errors.place(error)
        if episode is not None and episode.tell(self._table.key(error.socket), error):
            self._changed(episode)

    def _tell_waiting(self, state: KeyState) -> None:
        for flow in state.flows():
            for error in self._errors.waiting(flow):
                self._tell(error)

    def _translated(self, event: Translation) -> None:
        """Note the translation with the misses it was looked up for."""
        if self._is_of_another(event):
            return
        self._between.learn(event)
        for state in self._episodes.translated(event):
            # Not with one that is judged, when a later miss has had it looked up.
            for episode in state.settling or list(state.episodes()):
                if episode.verdict is None or episode.nat is None:
                    episode.nat = event
                    episode.origin = self._origins.find(episode.miss, episode.sent)
                    self._changed(episode)
            # The sender is told with the ends it sent with, as if from another machine.
            self._tell_waiting(state)
        for episode in list(self._episodes.of_flow(flow_before(event))):
            if episode.received is not None and episode.verdict is None:
                self._explained_here(episode)

    def _inhabited(self, event: NetnsContainers) -> None:
        """Engines can take longer to name a namespace than a miss is held: it is told then."""
        self._namespaces.inhabited(event)
        for episode in self._episodes.judged() if event.containers else ():
            told = episode.incident
            if told is not None and any(_is_unnamed(where, event) for where in told.places()):
                self._changed(episode)

    def _retarget(self, change: TargetChange) -> None:
        """What missed before a container was found to be a target may be asked for now."""
        if self._targets.take(change):
            self._reach_back()

    def _reach_back(self) -> None:
        for episode in self._episodes.judged():
            if episode.incident is None:
                self._changed(episode)

    def _is_of_another(self, event: Translation) -> bool:
        """Whether an entry is of other sockets with the same addresses in other namespaces: a
        socket is connected to send just such datagrams without a translation."""
        d = event.datagram
        ends = Ends(d.src, d.sport, d.dst, d.dport)
        elsewhere = event.netns != event.receiver and event.before != d
        return elsewhere and bool(self._table.connected(ends, event.time))

    # Episodes, from the miss to the verdict

    def _begin(
        self,
        miss: Miss,
        count: int,
        last: int,
        *,
        streamed: bool = True,
        received: ReceivedIcmp | None = None,
    ) -> Episode:
        """Hold a miss until it has settled."""
        elsewhere = received is not None
        key = key_of(miss)._replace(received=elsewhere)
        state = self._episodes.state(key)
        nat = state.nat if state.nat and abs(miss.time - state.nat.time) <= AGAIN_NS else None
        known = () if elsewhere else self._judge.known_on_port(miss)
        sent = flow_before(nat) if nat else flow_of(key)
        origin = self._origins.find(miss, sent, within=elsewhere)
        episode = Episode(key, miss, streamed, known, origin, self._anchor, count, last)
        episode.received, episode.nat = received, nat
        if streamed:
            episode.unseen = max(0, count - 1)
        if miss.total > 1 and self._counts.may_repeat(miss.since):
            episode.caveats.append("its count may hold misses told before: too many to remember")
        for loss in self._losses:
            if abs(loss.time - miss.time) <= _LOSS_REACH_NS:
                episode.lose(loss.what, loss.count)
        self._episodes.add(episode)
        self._remember(episode)
        self._deadlines.set(episode, max(self._now, miss.time) + self._settle_ns)
        self._tell_waiting(state)
        if len(self._episodes.settling) > self._limits.settling:
            self._settled_early += 1
            self._settle(next(iter(self._episodes.settling)))
        return episode

    def _remember(self, episode: Episode) -> None:
        """Keep what a loss told later can still touch."""
        self._recent.append(episode)
        oldest = self._now - _LOSS_REACH_NS - self._settle_ns
        while self._recent[0].verdict is not None and self._recent[0].miss.time < oldest:
            self._recent.popleft()

    def _back(self, episode: Episode, miss: Miss) -> None:
        """Its count came first, now the evidence is there too."""
        episode.miss, episode.streamed = miss, True
        episode.known = self._judge.known_on_port(miss)
        episode.origin = self._origins.find(miss, episode.sent)

    def _credit(self, episode: Episode, count: int, last: int) -> None:
        episode.last = max(episode.last, last)
        if count:
            episode.count += count
            self._changed(episode)

    def _changed(self, episode: Episode) -> None:
        """Have a change of a judged episode told in its time."""
        if episode.verdict is not None and episode.due is None:
            self._deadlines.set(episode, episode.next_update(self._now + self._settle_ns))

    def _settle(self, episode: Episode, state: KeyState | None = None) -> None:
        """Judge an episode: it joins the incident with the same verdict, or becomes one."""
        state = state or self._episodes.state(episode.key)
        # Once more: whose address it was sent from may have been looked up since.
        self._tell_waiting(state)
        self._episodes.settled(episode, state)
        episode.due = None
        if episode.received is not None and self._explained_here(episode):
            return
        if episode.origin.socket is None:
            elsewhere = episode.received is not None
            episode.origin = self._origins.find(episode.miss, episode.sent, within=elsewhere)
        verdict = self._verdict(episode)
        episode.judged(verdict)
        if episode.miss.total == 1 and icmp_status(episode, self._header) in UNSENT:
            # Its repeats' fates are counted in the kernel, its own only together with theirs.
            episode.unsent += self._counts.credit_first_unsent(episode.key, episode.miss.since)
        earlier = state.judged
        if earlier is not None and self._joins(episode, verdict, earlier):
            episode.joined = earlier
        else:
            state.judged = episode
            if verdict.cause is Cause.RACE:
                self._races.append(episode)
            self._publish(episode)

    def _reconsider(self, call: Call) -> None:
        """Judge anew the races that a call explains which took longer than they settled."""
        for episode in tuple(self._races):
            spans = call.entered <= episode.miss.time <= call.time
            if not spans or episode.verdict is None or call.after.netns != episode.miss.netns:
                continue
            verdict = self._judge.race_again(episode.miss, episode.verdict)
            if verdict != episode.verdict:
                episode.verdict = verdict
                self._races.remove(episode)
                self._changed(episode)

    def _explained_here(self, episode: Episode) -> bool:
        """Whether it was a miss of this machine after all; that one then has its errors."""
        here = self._missed_here(episode.key, episode.miss.time)
        if here is None:
            return False
        for (socket, _), error in episode.told.items():
            if here.tell(socket, error):
                self._changed(here)
        return True

    def _verdict(self, episode: Episode) -> Verdict:
        if episode.received is not None:
            return self._judge.remote(episode.received)
        traced_since = self._header.time if self._header else None
        describer = self._describer(episode)
        return self._judge.judge(episode.miss, episode.known, episode.dump, describer, traced_since)

    def _joins(self, episode: Episode, verdict: Verdict, earlier: Episode) -> bool:
        """Whether a repeat belongs to the incident before it, which then has taken it in."""
        substantiates = episode.count == 0 and not earlier.streamed
        before = earlier.verdict
        alike = before is not None and same_verdict(before, verdict)
        if substantiates or (alike and not earlier.differs(episode)):
            if substantiates or (before is not None and verdict.certain > before.certain):
                earlier.substantiate(episode)
                self._changed(earlier)
            if earlier.absorb(episode):
                self._changed(earlier)
            return True
        if episode.count == 0:
            # Counted before its evidence came, under the incident before.
            if earlier.count < 2:
                return True
            earlier.count, episode.count = earlier.count - 1, 1
            self._changed(earlier)
        return False

    # What comes out

    def _run_due(self, *, everything: bool = False) -> None:
        """Settle and tell what is due by now, in the order of the deadlines."""
        while (due := self._deadlines.next()) is not None and (everything or due <= self._now):
            episode = self._deadlines.pop()
            if episode.verdict is None:
                self._settle(episode)
            else:
                self._publish(episode)

    def _retire(self, state: KeyState) -> None:
        """Tell what is still to be told of a key before it is forgotten."""
        for episode in list(state.settling):
            self._settle(episode, state)
        if state.judged is not None and state.judged.due is not None:
            self._publish(state.judged)

    def _publish(self, episode: Episode) -> None:
        """Tell an incident, unless it is not asked for (a later event may change that)."""
        episode.due = None
        if episode.verdict is None or not self._selection.concerns(self._targets, episode):
            return
        previous = episode.incident
        describer = self._describer(episode)
        incident = compose(episode, episode.verdict, describer, self._header, self._between)
        if not self._selection.wants(incident):
            return
        episode.published(incident, self._now)
        self._misses += incident.count - (previous.count if previous else 0)
        self._incidents += previous is None
        self._untold += incident.untold - (previous.untold if previous else 0)
        self._untold_open += (not incident.untold_exact) - (
            previous is not None and not previous.untold_exact
        )
        self._out.append(IncidentUpdate(incident, previous))

    def _describer(self, episode: Episode) -> Describer:
        """By the clock at the miss: the times of an incident must not move between updates."""
        return Describer(self._table, self._namespaces, episode.anchor, self._inhabitants)

    def _drain(self) -> list[IncidentUpdate]:
        out, self._out = self._out, []
        return out


def _is_unnamed(where: Netns, event: NetnsContainers) -> bool:
    """Whether an incident told of a namespace without the containers that are found in it."""
    same = where.inum == event.inum and same_netns(where.cookie, event.cookie)
    return same and not where.containers
