"""Which sockets were on a port at a miss: those its walk shows, and what completes a short walk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tracer.events import Call, Close, Miss, PortDump, SocketView, falls_short
from tracer.namespaces import same_netns
from tracer.socktable import SocketKey, SocketTable, ends_of, merged
from tracer.timefmt import duration_text

# Calls and closes remembered, of all ports: a reading takes milliseconds.
_RECENT = 4096


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
    """How many more sockets were on the port at the miss than at the end of the reading."""
    forgotten: bool = False
    """There may have been more."""


class Ports:
    """Answers by the evidence of each miss, and by the table where that falls short."""

    def __init__(self, table: SocketTable) -> None:
        self._table = table
        self._recent: deque[Call | Close] = deque(maxlen=_RECENT)

    def note(self, change: Call | Close) -> None:
        """Take notice of what may have changed a port between a miss and what is read for it."""
        self._recent.append(change)

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
        if changes.forgotten:
            caveats.append("more changes came between the two than are remembered")
        certain = not changes.keys and not changes.forgotten
        return OnPort(sockets, total, certain, tuple(caveats))

    def _changes(self, miss: Miss, dump: PortDump) -> _Changes:
        """Sockets closed, bound, connected... after the miss and before the end of the reading."""
        changes, port = _Changes(), miss.datagram.dport
        full = len(self._recent) == self._recent.maxlen
        changes.forgotten = full and self._recent[0].time > miss.time
        for key, steps in self._steps(miss, dump).items():
            if not any(port in (before.lport, after.lport) for before, after in steps):
                continue
            was_there, is_there = steps[0][0].lport == port, steps[-1][1].lport == port
            changes.keys.add(key)
            changes.there += [steps[0][0]] if was_there else []
            changes.missed += was_there - is_there
        return changes

    def _steps(
        self, miss: Miss, dump: PortDump
    ) -> dict[SocketKey, list[tuple[SocketView, SocketView]]]:
        """What each socket of the namespace was before and after each change, in their order.

        A closed socket is one without a port.
        """
        found: dict[SocketKey, list[tuple[SocketView, SocketView]]] = {}
        for change in sorted(self._recent, key=lambda change: change.time):
            if isinstance(change, Close):
                began, step = change.time, (change.socket, replace(change.socket, lport=0))
            else:
                began, step = change.entered, (change.before, change.after)
            in_time = change.time > miss.time and began <= dump.time
            failed = isinstance(change, Call) and change.error
            if in_time and not failed and _of_netns(miss, step[1]):
                found.setdefault(self._table.key(step[1]), []).append(step)
        return found

    def _filled_in(self, view: SocketView) -> SocketView:
        """A dump's view with what dumps do not tell, from the same socket seen otherwise."""
        record = self._table.record(view)
        return view if record is None else merged(record.view, view)


def _of_netns(miss: Miss, view: SocketView) -> bool:
    return view.netns == miss.netns and same_netns(view.netns_cookie, miss.netns_cookie)


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
    if walk.skipped:
        return (
            f"the {walk.chain} sockets of the port's hash slot were not read at the miss: so many "
            "missed that the budget for it was used up"
        )
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
