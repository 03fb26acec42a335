"""Entries of a snapshot -> rows: grouped, and the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tracer.addresses import endpoint
from tracer.parts import Process
from tracer.top.model import NOT_KNOWN, By, Entry, Figure, Row, Snapshot, SocketId, Sort, drop_id


def rows(snapshot: Snapshot, by: By, sort: Sort) -> list[Row]:
    """The rows of a snapshot in order; ties by name, so that rows do not jump about."""
    whose = Counter(key for entry in snapshot.entries for key in entry.errors)
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in snapshot.entries:
        key = _key(entry, by)
        if key is not None:
            groups.setdefault(key, []).append(entry)
    made = [_row(by, key, entries, whose) for key, entries in groups.items()]
    return sorted(made, key=lambda row: _order(row, sort))


def _key(entry: Entry, by: By) -> tuple[str, ...] | None:
    """What puts entries into one row; None for what has no place in the table."""
    netns = str(entry.netns.inum)
    if by == "flow":
        return None if entry.flow is None else (entry.flow, netns)
    if by == "netns":
        return (entry.netns.name or "", netns)
    socket = entry.socket
    if by == "socket":
        if socket is not None:
            return (socket.local, socket.peer or "", str(socket.inode), netns)
        return (unserved(entry), netns)
    process = process_of(entry)
    return ("",) if process is None else (process.comm, str(process.pid), str(process.start))


def unserved(entry: Entry) -> str:
    """Where a datagram was sent to that no socket is named for."""
    assert entry.incident is not None
    return endpoint(entry.incident.datagram.dst, entry.incident.datagram.dport)


def process_of(entry: Entry) -> Process | None:
    """Whose row an entry is in by process: who holds the socket; without one, the sender."""
    sender = entry.incident.origin if entry.incident else None
    socket = entry.socket or sender
    return socket.processes[0] if socket and socket.processes else None


def _row(by: By, key: tuple[str, ...], entries: Sequence[Entry], whose: Counter[SocketId]) -> Row:
    worst = max(entries, key=lambda e: (*map(_known, e.misses), *map(_known, e.drops)))
    causes = Counter[str]()
    for entry in entries:
        if entry.incident is not None:
            causes[entry.incident.cause.value] += entry.misses.total or 0
    drops = {drop_id(entry.socket): entry.drops for entry in entries if entry.socket is not None}
    return Row(
        by=by,
        key=key,
        worst=worst,
        flows=len({entry.flow for entry in entries if entry.flow is not None}),
        causes=tuple(cause for cause, _ in causes.most_common()),
        misses=_sum(entry.misses for entry in entries),
        errors=_errors(entries, whose),
        drops=_sum(drops.values()) if drops else NOT_KNOWN,
    )


def _errors(entries: Sequence[Entry], whose: Counter[SocketId]) -> Figure:
    """Errors told, each socket's once. Not known where one was told about other rows' flows, too:
    the error does not say about which."""
    here = Counter(key for entry in entries for key in entry.errors)
    if any(count < whose[key] for key, count in here.items()):
        return NOT_KNOWN
    return _sum({key: f for entry in entries for key, f in entry.errors.items()}.values())


def _sum(figures: Iterable[Figure]) -> Figure:
    """Of what is known; not known where nothing is."""
    found = list(figures)
    return Figure(*(_sum_known([f[i] for f in found]) for i in (0, 1)))


def _sum_known(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None


def _order(row: Row, sort: Sort) -> tuple[object, ...]:
    """What is not known comes after a zero."""
    figures = {"misses": row.misses, "errors": row.errors, "drops": row.drops}
    if sort == "name":
        return row.key
    first = [figures.pop(sort), *figures.values()]
    return (*(-_known(f.new) for f in first), *(-_known(f.total) for f in first), *row.key)


def _known(value: int | None) -> int:
    return -1 if value is None else value
