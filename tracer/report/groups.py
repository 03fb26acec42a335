"""Incidents put together by cause, culprit and pair of ends, in bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tracer.causes import Cause
from tracer.describe import netns_words
from tracer.incident import Incident
from tracer.link import IncidentUpdate
from tracer.parts import Netns
from tracer.report.model import Bins, Culprit, Ends, Group, GroupKey, Joined, Rest, Sample
from tracer.report.rate import Histogram, aligned

GROUPS = 1000
"""Groups that are remembered; what goes beyond is counted by cause."""

SAMPLES = 3
"""Incidents kept of each group."""


def group_key(incident: Incident) -> GroupKey:
    """The group that an incident belongs to."""
    netns = netns_words(incident.netns)
    who = (incident.host or "", incident.boot_id or "")
    return GroupKey(incident.cause, *who, netns, _culprit(incident), _ends(incident))


def _culprit(incident: Incident) -> Culprit:
    socket = incident.socket
    if incident.cause is Cause.REMOTE:
        return Culprit("machine", None, incident.icmp.sender or "unknown")
    if incident.cause is Cause.REJECTED:
        return Culprit("caller", None, incident.lookup.caller or "unknown")
    if socket is None:
        return Culprit("nobody", None, _stable(incident.datagram.dport))
    process = socket.processes[0].comm if socket.processes else None
    chosen = socket.port_origin == "kernel-chosen"
    return Culprit("socket", process, _stable(None if chosen else incident.datagram.dport))


def _stable(port: int | None) -> str:
    return "a port the kernel chose" if port is None else f"port {port}"


def _ends(incident: Incident) -> Ends:
    """A port is left out where the kernel chose it: the next time it is another one."""
    d, origin, socket = incident.datagram, incident.origin, incident.socket
    to_chosen = socket is not None and socket.port_origin == "kernel-chosen"
    from_bound = origin is not None and origin.port_origin == "bound"
    sport = d.sport if from_bound or to_chosen else None
    return Ends(d.src, sport, d.dst, None if to_chosen else d.dport)


@dataclass(slots=True)
class _Counts:
    """A group as it grows."""

    key: GroupKey
    netns: Netns
    incidents: int = 0
    misses: int = 0
    untold: int = 0
    uncertain: int = 0
    joined: int = 0
    first: int | None = None
    last: int | None = None
    over_time: Histogram = field(default_factory=Histogram)
    samples: dict[str, Sample] = field(default_factory=dict)

    def add(self, incident: Incident, before: Incident | None, sign: int = 1) -> None:
        """Take in an incident (``sign`` -1: take it out), or what changed since ``before``."""
        misses = incident.count - (before.count if before else 0)
        self.incidents += sign * (before is None)
        self.misses += sign * misses
        self.untold += sign * (incident.untold - (before.untold if before else 0))
        doubt_before = before is not None and not before.certain
        self.uncertain += sign * ((not incident.certain) - doubt_before)
        if incident.last_time is not None:
            self.over_time.add(incident.last_time, sign * misses)

    def see(self, incident: Incident) -> None:
        """Keep the times, and the incident itself while there is room."""
        if incident.time is not None:
            self.first = min(incident.time, incident.time if self.first is None else self.first)
        if incident.last_time is not None:
            self.last = max(incident.last_time, self.last or 0)
        if incident.id in self.samples or len(self.samples) < SAMPLES:
            self.samples[incident.id] = Sample(incident)

    def finished(self) -> Group:
        return Group(
            key=self.key,
            netns=self.netns,
            incidents=self.incidents,
            misses=self.misses,
            untold=self.untold,
            uncertain=self.uncertain,
            joined=self.joined,
            first=self.first,
            last=self.last,
            bins=self.over_time.bins(),
            samples=tuple(self.samples.values()),
        )


class Groups:
    """Takes in what a linker tells; bounded."""

    def __init__(self, limit: int = GROUPS) -> None:
        self._limit = limit
        self._groups: dict[GroupKey, _Counts] = {}
        self._over_time: dict[str, Histogram] = {}
        self._rest_incidents = 0
        self._rest: Counter[str] = Counter()

    def take(self, update: IncidentUpdate) -> None:
        """An incident, new or changed: it may belong to another group than before."""
        incident, before = update.incident, update.previous
        key = group_key(incident)
        if before is not None and (left := group_key(before)) != key:
            self._leave(left, before)
            before = None
        misses = incident.count - (before.count if before else 0)
        self._count(incident, misses)
        group = self._group(key, incident)
        if group is None:
            self._rest_incidents += before is None
            self._rest[key.cause.value] += misses
            return
        group.add(incident, before)
        group.see(incident)

    def join(self, refused: Incident, told: Incident, whole: Incident, joined: Joined) -> None:
        """``refused`` and ``told`` are two hosts' halves of one incident, ``whole``.

        It stays where ``refused`` was; ``told`` is no incident of its own any more.
        """
        self._leave(group_key(told), told)
        group = self._groups.get(group_key(refused))
        if group is not None:
            group.joined += 1
            if refused.id in group.samples:
                group.samples[refused.id] = Sample(whole, joined)

    def _group(self, key: GroupKey, incident: Incident) -> _Counts | None:
        """The group; None where there is none and no room for it."""
        group = self._groups.get(key)
        if group is None and len(self._groups) < self._limit:
            group = self._groups[key] = _Counts(key, incident.netns)
        return group

    def _count(self, incident: Incident, misses: int) -> None:
        if misses and incident.last_time is not None:
            by_cause = self._over_time.setdefault(incident.cause.value, Histogram())
            by_cause.add(incident.last_time, misses)

    def _leave(self, key: GroupKey, incident: Incident) -> None:
        self._count(incident, -incident.count)
        group = self._groups.get(key)
        if group is None:
            self._rest_incidents -= 1
            self._rest[key.cause.value] -= incident.count
            return
        group.add(incident, None, sign=-1)
        group.samples.pop(incident.id, None)
        if not group.incidents:
            del self._groups[key]

    def finished(self) -> tuple[Group, ...]:
        """The groups, most misses first."""
        groups = [group.finished() for group in self._groups.values()]
        return tuple(sorted(groups, key=lambda group: (-group.misses, group.first or 0)))

    def rest(self) -> Rest:
        """What had no room."""
        causes = tuple((cause, misses) for cause, misses in sorted(self._rest.items()) if misses)
        return Rest(self._rest_incidents, sum(self._rest.values()), causes)

    def over_time(self) -> tuple[tuple[str, Bins], ...]:
        """Misses over time by cause, in the order of the causes."""
        found = aligned(self._over_time)
        some = ((cause.value, found.get(cause.value)) for cause in Cause)
        return tuple((cause, bins) for cause, bins in some if bins and any(bins.counts))
