"""Which sockets were on a port at a miss: those its walk shows, and what completes a short walk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracer.events import Miss, PortDump, SocketView, falls_short
from tracer.socktable import SocketKey, SocketRecord, SocketTable, ends_of, merged
from tracer.timefmt import duration_text


@dataclass(frozen=True, slots=True)
class OnPort:
    """The sockets on a port at a miss, as far as they are known, and what is doubtful about it.

    ``total`` counts the port's sockets, those not in ``sockets`` included.
    """

    sockets: list[SocketView]
    total: int
    certain: bool = True
    caveats: tuple[str, ...] = ()


@dataclass(slots=True)
class _Changes:
    """What is known to have changed on a port between a miss and the end of a later reading."""

    keys: set[SocketKey] = field(default_factory=set)
    there: list[SocketView] = field(default_factory=list)
    """Those that were on the port at the miss, as they were then."""
    missed: int = 0
    """How many more sockets were on the port at the miss than in the reading."""

    def add(self, record: SocketRecord, before: SocketView, port: int) -> None:
        """A socket that is not what it was: ``before`` is how it was at the miss."""
        self.keys.add(record.key)
        if before.lport == port:
            self.there.append(before)
        self.missed += (before.lport == port) - (record.closed is None)


class Ports:
    """Answers by the evidence of each miss, and by the table where that falls short."""

    def __init__(self, table: SocketTable) -> None:
        self._table = table

    def known(self, miss: Miss) -> tuple[SocketView, ...]:
        """The sockets known from before, to be asked at the miss; empty where its walk suffices."""
        if miss.walk is not None and not falls_short(miss):
            return ()
        records = self._table.on_port(miss.netns, miss.datagram.dport, miss.netns_cookie)
        return tuple(record.view for record in records)

    def at(self, miss: Miss, known: Sequence[SocketView], dump: PortDump | None) -> OnPort:
        """The sockets at the miss. ``known`` is from `known`, ``dump`` was read for this miss."""
        walked = list(miss.walk.candidates) if miss.walk else []
        if miss.walk is not None and not falls_short(miss):
            return OnPort(walked, max(len(walked), miss.walk.matching))
        if dump is not None and dump.incomplete is None:
            return self._completed(miss, walked, dump)
        read = dump.sockets if dump else ()
        sockets = _distinct([*walked, *read, *known])
        matching = miss.walk.matching if miss.walk else 0
        total = max(len(sockets), matching, dump.total if dump else 0)
        return OnPort(sockets, total, False, (_incomplete(miss, dump),))

    def _completed(self, miss: Miss, walked: list[SocketView], dump: PortDump) -> OnPort:
        """The walk and the dump together, with what changed between them undone where it is known.

        The dump's total is the port's; the walk's views are the miss's own moment, so that they
        outweigh the dump's.
        """
        changes = self._changes(miss, dump)
        read = [v for v in dump.sockets if self._table.key(v) not in changes.keys]
        sockets = _distinct([*walked, *changes.there, *map(self._filled_in, read)])
        total = max(len(sockets), dump.total + changes.missed)
        caveats = [_complete(miss, dump, total - len(walked))]
        if changes.keys:
            caveats.append(f"{len(changes.keys)} of the port's sockets changed between the two")
        return OnPort(sockets, total, not changes.keys, tuple(caveats))

    def _changes(self, miss: Miss, dump: PortDump) -> _Changes:
        """Sockets closed, bound or connected after the miss and before the end of the reading."""
        changes, port = _Changes(), miss.datagram.dport
        for record in self._table.closed_on_port(miss.netns, port, dump.time, miss.netns_cookie):
            if record.closed is not None and record.closed.time > miss.time:
                before = record.before_changes(miss.time, dump.time)
                changes.add(record, before or record.view, port)
        for record in self._table.on_port(miss.netns, port, miss.netns_cookie):
            before = record.before_changes(miss.time, dump.time)
            if before is not None:
                changes.add(record, before, port)
        return changes

    def _filled_in(self, view: SocketView) -> SocketView:
        """A dump's view with what dumps do not tell, from the same socket seen otherwise."""
        record = self._table.record(view)
        return view if record is None else merged(record.view, view)


def _distinct(views: Iterable[SocketView]) -> list[SocketView]:
    """Each socket once, as it comes first."""
    found: dict[object, SocketView] = {}
    for view in views:
        found.setdefault(view.inode or ends_of(view), view)
    return list(found.values())


def _shortfall(miss: Miss) -> str:
    """Why the walk alone does not carry the verdict."""
    walk = miss.walk
    if walk is None:
        return "the sockets were not read at the miss: judged by those known from before"
    if walk.truncated:
        return f"the walk of the port's hash slot stopped after {walk.visited} sockets"
    return f"{walk.lost} of {walk.matching} sockets read at the miss were lost"


def _incomplete(miss: Miss, dump: PortDump | None) -> str:
    if dump is None:
        return _shortfall(miss)
    return (
        f"{_shortfall(miss)}; the others could not be read from a socket dump "
        f"({dump.incomplete}): judged by those known from before"
    )


def _complete(miss: Miss, dump: PortDump, others: int) -> str:
    later = f"a socket dump {duration_text(dump.time - miss.time)} later"
    if others <= 0:
        return f"{_shortfall(miss)}; {later} shows no others on the port"
    return f"{_shortfall(miss)}; the port's other {others} were read from {later}"
