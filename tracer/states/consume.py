"""The consumer of a trace's events that `states` has: holds each call until it is to be shown.

Nothing but the events decides what is shown, and when, so that a replay shows the same.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from tracer.events import (
    LOOKED_UP,
    Call,
    Clock,
    Close,
    Counters,
    Created,
    End,
    Event,
    Header,
    InContainer,
    Loss,
    NetnsContainers,
    NetnsInfo,
    PortRange,
    TargetChange,
    found_no_port,
)
from tracer.inhabitants import Inhabitants
from tracer.lru import Lru
from tracer.match import is_connected
from tracer.namespaces import Namespaces, same_netns
from tracer.naming import Names
from tracer.select import Selection, is_within
from tracer.states.make import Step, changes_nothing, transition_of, view_of
from tracer.states.model import Ports, Transition
from tracer.targets import TargetSet
from tracer.timefmt import Anchor
from tracer.totals import Limits

CONNECT_PROBE = "inet_dgram_connect"
"""Where it is attached and proven, an autobind that is not within a connect() is a send's."""

LOSSES = ("call", "close", "created", "inflight")
"""Those that cost a transition, by the names of `events.LOSSES`."""

_HELD = 8192
"""Steps held at a time; beyond it the oldest is shown before what is looked up for it is there."""


class Tally:
    """What was shown and lost so far; ``duration`` is nanoseconds of event time."""

    def __init__(self) -> None:
        self.shown: Counter[str] = Counter()
        """Transitions, by what they are."""
        self.losses: Counter[str] = Counter()
        """Records lost, by the names of `LOSSES`."""
        self.probes = 0
        """How many are proven."""
        self.duration = 0


class Renderer(Protocol):
    """Turns what is shown of a trace into whole lines, or nothing (tracer.render.transitions)."""

    def event(self, event: Event) -> str:
        """An event of the trace, after the transitions that were due before it."""

    def transition(self, transition: Transition) -> str:
        """A transition."""


class Transitions:
    """Each call is held for ``settle_ns``, so that what is looked up for it is there.

    ``targets`` are inode numbers of network namespaces, to which come those of the containers it is
    told to be ``following``. ``last`` makes what is written at the end of a trace that ended well.
    What ``write`` raises is passed on.
    """

    def __init__(
        self,
        renderer: Renderer,
        write: Callable[[str], None],
        *,
        settle_ns: int,
        targets: frozenset[int] = frozenset(),
        following: bool = False,
        selection: Selection | None = None,
        last: Callable[[End, Tally], str] = lambda end, tally: "",
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self.tally = Tally()
        self._renderer = renderer
        self._write = write
        self._last = last
        self._settle_ns = settle_ns
        self._selection = selection = selection or Selection()
        self._targets = TargetSet(targets, following=following, containers=selection.containers)
        self._namespaces = Namespaces(limits.namespaces)
        self._inhabitants = Inhabitants(limits.sockets)
        self._ranges: Lru[int, PortRange] = Lru(limits.namespaces)
        self._anchor: Anchor | None = None
        self._began: int | None = None
        self._now = 0
        self._sends_told = False
        self._held: list[Step] = []

    # As tracer.log.Consumer has it

    @property
    def full(self) -> bool:
        """Never: there is no limit."""
        return False

    def feed(self, event: Event) -> None:
        """Take the next event and show what is due by its time."""
        text: list[str] = []
        if type(event) not in LOOKED_UP:
            self._pass(event)
            text += self._due(None if isinstance(event, End) else self._now - self._settle_ns)
        self._take(event)
        if not isinstance(event, Loss) or event.what in LOSSES:
            text.append(self._renderer.event(event))
        if isinstance(event, End):
            text.append(self._last(event, self.tally))
        self._put(text)

    def finish(self) -> None:
        """Show what is still held, when no event comes any more."""
        self._put(list(self._due(None)))

    def next_deadline(self) -> int | None:
        """When the passing of time alone will show something (monotonic ns); None for never."""
        return self._held[0].time + self._settle_ns if self._held else None

    # Events

    def _pass(self, event: Event) -> None:
        self._began = event.time if self._began is None else self._began
        self._now = max(self._now, event.time)
        self.tally.duration = self._now - self._began

    def _take(self, event: Event) -> None:
        match event:
            case Call() | Close() | Created():
                # Records of several processors can come a little out of order.
                bisect.insort(self._held, event, key=lambda step: step.time)
            case Header():
                self._anchor = Anchor.of(event)
                self._sends_told = CONNECT_PROBE in event.probes
                self.tally.probes = len(event.probes)
            case Clock():
                self._anchor = Anchor.of(event)
            case NetnsInfo():
                self._namespaces.learn(event)
            case Counters():
                self._targets.counted(event)
            case NetnsContainers():
                self._namespaces.inhabited(event)
                self._targets.inhabited(event)
            case InContainer():
                self._inhabitants.learn(event)
            case TargetChange():
                self._targets.take(event)
            case PortRange():
                self._ranges.put(event.inum, event)
            case Loss() if event.what in LOSSES:
                self.tally.losses[event.what] += event.count
            case _:
                pass

    def _due(self, until: int | None) -> Iterator[str]:
        """What was held up to a time, None for all of it, as it is shown."""
        number = len(self._held)
        if until is not None:
            due = bisect.bisect_right(self._held, until, key=lambda step: step.time)
            number = max(due, number - _HELD)
        if not number:
            return
        steps, self._held = self._held[:number], self._held[number:]
        for step in steps:
            made = self._transition(step)
            if made is not None:
                self.tally.shown[made.what] += 1
                yield self._renderer.transition(made)

    def _put(self, text: list[str]) -> None:
        if whole := "".join(text):
            self._write(whole)

    # What is shown

    def _transition(self, step: Step) -> Transition | None:
        """What a step made of a socket; None where it made nothing, or is not asked for."""
        view = view_of(step)
        if changes_nothing(step):
            return None
        if not self._targets.has(view.netns, view.netns_cookie, step.time):
            return None
        made = transition_of(step, Names(self._namespaces, self._anchor, self._inhabitants))
        if made.call == "autobind" and made.within is None and self._sends_told:
            made = replace(made, within="send")
        if isinstance(step, Call) and found_no_port(step):
            made = replace(made, ports=self._ports(view.netns, view.netns_cookie))
        return made if _wants(self._selection, made, step) else None

    def _ports(self, inum: int, cookie: int) -> Ports | None:
        """What the kernel had to choose from; None where that could not be looked up."""
        found = self._ranges.get(inum)
        if found is None or not same_netns(found.cookie, cookie):
            return None
        return Ports(found.first, found.last, found.reserved)


def _wants(selection: Selection, made: Transition, step: Step) -> bool:
    """Whether the filters let a transition through."""
    ends = set(_ends(step))
    return (
        (not selection.what or made.what in selection.what)
        and (not selection.families or made.family in selection.families)
        and (not selection.processes or selection.names(made.by))
        and (not selection.ports or any(port in selection.ports for _, port in ends))
        and (not selection.hosts or any(is_within(end, selection.hosts) for end, _ in ends))
    )


def _ends(step: Step) -> Iterator[tuple[str, int]]:
    """Every address and port that a call found, left or asked for."""
    views = (step.before, step.after) if isinstance(step, Call) else (step.socket,)
    for view in views:
        yield view.local, view.lport
        if is_connected(view):
            yield view.peer, view.pport
    if isinstance(step, Call) and step.requested:
        yield step.requested
