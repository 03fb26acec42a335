"""Counts over the events of a trace: what the status line and the summary say."""

from __future__ import annotations

from tracer.events import (
    LOSSES,
    Call,
    Close,
    Datagram,
    Event,
    Header,
    Loss,
    Miss,
    MissCount,
    SocketSeen,
)
from tracer.recent import Recent

_Key = tuple[Datagram, int, int, int, int]


class Tally:
    """Sees every event of a trace and counts."""

    def __init__(self) -> None:
        self.misses = 0
        """Datagrams that missed, repeats included."""
        self.lost: dict[str, int] = {}
        """Evidence dropped, by a name of events.LOSSES."""
        self.probes = 0
        """Probes proven."""
        self.began = 0
        self.latest = 0
        self._totals: Recent[_Key, int] = Recent()
        self._sockets: Recent[int, None] = Recent()

    @property
    def sockets(self) -> int:
        """UDP sockets known to be open."""
        return len(self._sockets)

    def feed(self, event: Event) -> None:
        """Count an event."""
        self.latest = max(self.latest, event.time)
        if isinstance(event, Header):
            self.began = event.time
            self.probes = len(event.probes)
        elif isinstance(event, Miss | MissCount):
            self._count_misses(event)
        elif isinstance(event, SocketSeen):
            self._sockets.remember(event.socket.inode, None)
        elif isinstance(event, Call):
            self._sockets.remember(event.after.inode, None)
        elif isinstance(event, Close):
            self._sockets.pop(event.socket.inode, None)
        elif isinstance(event, Loss):
            self.lost[event.what] = self.lost.get(event.what, 0) + event.count

    def _count_misses(self, event: Miss | MissCount) -> None:
        """Totals are cumulative by key, and begin anew when ``since`` changes."""
        key = (event.datagram, event.netns, event.icmp_type, event.icmp_code, event.since)
        known = self._totals.get(key, 0)
        if event.total > known:
            self.misses += event.total - known
            self._totals.remember(key, event.total)

    def status(self, now: int) -> str:
        """ "30 s: 0 misses, 41 sockets, 3 probes proven", at ``now`` (monotonic ns)."""
        return (
            f"{duration_text(now - self.began)}: {plural(self.misses, 'miss', 'misses')},"
            f" {plural(self.sockets, 'socket')}, {plural(self.probes, 'probe')} proven"
        )

    def loss_text(self) -> str:
        """What was lost, in words; empty when nothing was."""
        return ", ".join(f"{n} {LOSSES.get(what, what)}" for what, n in self.lost.items())


def plural(number: int, one: str, many: str = "") -> str:
    """ "1 socket", "2 sockets"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration_text(ns: int) -> str:
    """Nanoseconds as people say them: "30 s", "5 min 12 s", "2 h 5 min"."""
    seconds = max(ns, 0) // 1_000_000_000
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
