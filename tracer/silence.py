"""What died without any ICMP, by network namespace, and whether every miss was seen.

Both from the kernel's counters, of which a trace has readings; the misses come from the linker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from tracer.counts import is_proven
from tracer.events import Counters, Family, Miss, MissCount
from tracer.lru import Lru
from tracer.parts import Netns

# How the names of each family's counters begin.
_UDP = ("Udp", "Udp6")
_ICMP = ("Icmp", "Icmp6")

# Reasons that have a counter of their own. InErrors counts the first three as well
# (net/ipv4/udp.c:__udp_queue_rcv_skb, udp_queue_rcv_one_skb), IgnoredMulti it does not.
_REASONS = {
    "receive-buffer": "RcvbufErrors",
    "checksum": "InCsumErrors",
    "memory": "MemErrors",
    "multicast": "IgnoredMulti",
}
_IN_ERRORS = ("receive-buffer", "checksum", "memory")

REASONS = (*_REASONS, "other")
"""Why a datagram died silently."""

_LIMITS = ("OutRateLimitGlobal", "OutRateLimitHost")

_KEPT = (
    *(group + name for group in _UDP for name in ("NoPorts", "InErrors", *_REASONS.values())),
    *(group + name for group in _ICMP for name in ("OutDestUnreachs", *_LIMITS)),
)
"""The counters that anything is said of."""


class Names(Protocol):
    """How a namespace is shown (tracer.describe)."""

    def netns(self, inum: int, cookie: int) -> Netns:
        """A namespace with what is known of it."""

    def time(self, monotonic: int) -> int | None:
        """UTC nanoseconds; None where the trace has no clock."""


@dataclass(frozen=True, slots=True)
class NoPorts:
    """Lookups that found no socket: how many the kernel counted, how many were seen here.

    ``kernel`` is None where there are no two readings to compare. ``low`` and ``high``: misses that
    happened while the counters were read may be on either side of the reading.
    """

    kernel: int | None = None
    low: int = 0
    high: int = 0

    @property
    def traced(self) -> int:
        """How many were seen: what fits the kernel's count best, where there is room."""
        return self.low if self.kernel is None else min(max(self.kernel, self.low), self.high)

    @property
    def difference(self) -> int:
        """How many more the kernel counted than were seen; negative if fewer."""
        return 0 if self.kernel is None else self.kernel - self.traced


@dataclass(frozen=True, slots=True)
class NetnsSilence:
    """One namespace's part, between its first and its latest reading (monotonic and UTC ns)."""

    netns: Netns
    mono_ns: int
    """The latest reading."""
    time: int | None
    since: int | None
    """The first reading."""
    final: bool
    """Whether the latest reading was made at the end of the trace."""
    gone: bool
    anew: bool
    """The counters went down meanwhile, so they are another namespace's, counted from there on."""
    doubtful: bool
    """Misses may have been counted twice: too many to remember."""
    silent: dict[str, int | None]
    """By the names of `REASONS`; None where there is no such counter, or no two readings."""
    no_ports: tuple[NoPorts, ...]
    """Of IPv4 and IPv6."""
    icmp_sent: int | None
    """Destination unreachables of any kind handed to IP."""
    icmp_limited: int | None
    """ICMPs of any kind stopped by a rate limit; None on kernels that do not count them."""

    @property
    def deaths(self) -> int:
        """How many datagrams died silently, as far as counted."""
        return sum(count or 0 for count in self.silent.values())

    @property
    def kernel(self) -> int | None:
        """Lookups without a socket as the kernel counted them."""
        counted = [part.kernel for part in self.no_ports if part.kernel is not None]
        return sum(counted) if counted else None

    @property
    def traced(self) -> int:
        """Lookups without a socket as seen here."""
        return sum(part.traced for part in self.no_ports)

    @property
    def unseen(self) -> int:
        """Lookups without a socket that the kernel counted and that were not seen."""
        return sum(max(0, part.difference) for part in self.no_ports)

    @property
    def surplus(self) -> int:
        """Misses seen that the kernel did not count."""
        return sum(max(0, -part.difference) for part in self.no_ports)


@dataclass(slots=True)
class _Tally:
    """Misses of one family around the readings of their namespace's counters."""

    sure: int = 0
    """Between the first reading and the latest."""
    at_first: int = 0
    """Before or after the first: not known."""
    at_latest: int = 0
    after: int = 0
    """After the latest."""

    def next(self) -> None:
        """A further reading has been made: what came before it lies between the two."""
        self.sure += self.at_latest + self.after
        self.at_latest = self.after = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is kept of one: namespaces come and go by the thousand."""

    time: int
    until: int
    final: bool
    values: tuple[int | None, ...]
    """By `_KEPT`; None of what this kernel does not count."""


def _reading(event: Counters) -> _Reading:
    values = dict(event.values)
    return _Reading(event.time, event.until, event.final, tuple(map(values.get, _KEPT)))


@dataclass(slots=True)
class _Ledger:
    """One namespace: its first and latest reading, and the misses seen in it."""

    inum: int
    cookie: int
    first: _Reading
    latest: _Reading
    gone: bool = False
    anew: bool = False
    ipv4: _Tally = field(default_factory=_Tally)
    ipv6: _Tally = field(default_factory=_Tally)

    def went_down(self, reading: _Reading) -> bool:
        """Whether a reading cannot be of the same namespace."""
        both = zip(self.latest.values, reading.values, strict=True)
        return any(after is not None and after < (before or 0) for before, after in both)

    def read(self, reading: _Reading) -> None:
        """Take in a further reading."""
        self.latest = reading
        self.ipv4.next()
        self.ipv6.next()

    def add(self, family: Family, count: int, counted: int, last: int) -> None:
        """So many misses, not known when the counters were last read; the latest was at ``last``.

        ``counted``: when it was read how many there are, all up to then (monotonic ns).
        """
        tally = self.ipv6 if family == "ipv6" else self.ipv4
        if counted > self.latest.until:
            tally.after += count
        elif last < self.latest.time:
            tally.sure += 0 if self.first is self.latest else count
        elif self.first is self.latest:
            tally.at_first += count
        else:
            tally.at_latest += count

    def grown(self, name: str) -> int | None:
        """By how much a counter has grown; None where that is not known."""
        index = _KEPT.index(name)
        first, latest = self.first.values[index], self.latest.values[index]
        if first is None or latest is None or self.first is self.latest:
            return None
        return latest - first


class Silence:
    """Takes the readings of counters and the misses of one trace, in the order of its log."""

    def __init__(self, limit: int) -> None:
        self._ledgers: Lru[tuple[int, int], _Ledger] = Lru(limit)
        self._past: Lru[int, _Ledger] = Lru(limit)
        """Of namespaces whose number, and no cookie tells it, is another one's by now."""
        self._passed = 0

    @property
    def forgotten(self) -> int:
        """How many namespaces' readings were forgotten to stay within the limit."""
        return self._ledgers.forgotten + self._past.forgotten

    def read(self, event: Counters) -> None:
        """Take in a reading of a namespace's counters."""
        key = (event.inum, event.cookie)
        ledger = self._ledgers.touch(key)
        if not event.values:
            if ledger is not None:
                ledger.gone = True
            return
        reading = _reading(event)
        if ledger is None:
            self._ledgers.put(key, _Ledger(*key, reading, reading))
        elif ledger.gone or ledger.went_down(reading):
            self._past.put(self._passed, ledger)
            self._passed += 1
            self._ledgers.put(key, _Ledger(*key, reading, reading, anew=not ledger.gone))
            ledger.gone = True
        else:
            ledger.read(reading)

    def missed(self, miss: Miss, new: int) -> None:
        """A miss, with how many of its total were not known before."""
        ledger = self._ledger(miss) if new and miss.proven else None
        if ledger is not None:
            ledger.add(miss.datagram.family, new, miss.time, miss.time)

    def counted(self, event: MissCount, new: int) -> None:
        """The kernel's count of a miss, with how many of it were not known before."""
        ledger = self._ledger(event) if new and is_proven(event) else None
        if ledger is not None:
            ledger.add(event.datagram.family, new, event.time, event.last)

    def parts(self, names: Names, *, doubtful: bool) -> Iterator[NetnsSilence]:
        """The namespaces of which there is anything to say, in the order of their numbers."""
        ledgers = [*self._past, *self._ledgers]
        for ledger in sorted(ledgers, key=lambda ledger: (ledger.inum, ledger.first.time)):
            part = _part(ledger, names, doubtful=doubtful)
            if part.deaths or part.kernel or part.traced:
                yield part

    def _ledger(self, event: Miss | MissCount) -> _Ledger | None:
        """Kernels 5.12 and 5.13 have cookies, and no way to ask for a namespace's own."""
        cookie = event.netns_cookie
        return self._ledgers.get((event.netns, cookie)) or self._ledgers.get((event.netns, 0))


def _part(ledger: _Ledger, names: Names, *, doubtful: bool) -> NetnsSilence:
    first, latest = ledger.first, ledger.latest
    return NetnsSilence(
        netns=names.netns(ledger.inum, ledger.cookie),
        mono_ns=latest.time,
        time=names.time(latest.time),
        since=names.time(first.time),
        final=latest.final,
        gone=ledger.gone,
        anew=ledger.anew,
        doubtful=doubtful,
        silent=_silent(ledger),
        no_ports=(_no_ports(ledger, "Udp", ledger.ipv4), _no_ports(ledger, "Udp6", ledger.ipv6)),
        icmp_sent=_sum_of(ledger.grown(f"{group}OutDestUnreachs") for group in _ICMP),
        icmp_limited=_sum_of(ledger.grown(group + limit) for group in _ICMP for limit in _LIMITS),
    )


def _silent(ledger: _Ledger) -> dict[str, int | None]:
    silent = {
        reason: _sum_of(ledger.grown(group + name) for group in _UDP)
        for reason, name in _REASONS.items()
    }
    errors = _sum_of(ledger.grown(f"{group}InErrors") for group in _UDP)
    if errors is not None:
        # Each of these is counted twice by the kernel, together and apart.
        errors = max(0, errors - sum(silent[reason] or 0 for reason in _IN_ERRORS))
    return {**silent, "other": errors}


def _no_ports(ledger: _Ledger, group: str, tally: _Tally) -> NoPorts:
    kernel = ledger.grown(f"{group}NoPorts")
    if kernel is None:
        return NoPorts(None, tally.sure + tally.after, tally.sure + tally.after)
    return NoPorts(kernel, tally.sure, tally.sure + tally.at_first + tally.at_latest)


def _sum_of(counts: Iterable[int | None]) -> int | None:
    """Of those that are known; None when none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
