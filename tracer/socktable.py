"""The sockets known: one record each with its history, found by ends and port; bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from tracer.addresses import unmapped
from tracer.events import (
    Call,
    Carried,
    Close,
    Event,
    Holder,
    Known,
    Loss,
    Miss,
    Owners,
    PortDump,
    SockError,
    SocketSeen,
    SocketView,
    Task,
)
from tracer.lru import Lru
from tracer.match import is_connected
from tracer.namespaces import same_netns
from tracer.provenance import History, Sighting, is_connect

# Closed sockets of one port that a miss is held against, the latest.
_CLOSED_ASKED = 64

# What a source may leave untold, and how that shows in a view.
_UNTOLD: dict[str, object] = {
    "sock": "",
    "cookie": 0,
    "netns_cookie": 0,
    "local4": None,
    "peer4": None,
    "v6only": None,
    "addr_lock": None,
    "port_lock": None,
    "uid": None,
    "reuseport": None,
}
_told = attrgetter(*_UNTOLD)

# Sockets remembered of one process in `SocketTable.bound_by`.
_BOUND = 8

# A socket can still be seen (in a walk, a dump) for this long after its close was recorded, which
# is at the entry of the function that closes it.
_LINGER_NS = 1_000_000_000


class SocketKey(NamedTuple):
    """A socket's identity: its netns, and its inode where it has one, else what else tells it."""

    netns: int
    identity: str


@dataclass(slots=True, eq=False)
class SocketRecord:
    """A socket: as last seen, and what made it so."""

    key: SocketKey
    view: SocketView
    seen: int
    history: History
    task: Task | None = None
    """Who made the latest call on it."""
    closed: Close | None = None
    told: SockError | None = None
    """The latest error queued on it."""
    entries: tuple[tuple[object, ...], ...] = ()
    """Where a shelf has it; empty when that is still to be found out."""

    @property
    def connects(self) -> tuple[Call, ...]:
        """The successful connects kept, in their order."""
        return tuple(call for call in self.history.calls if is_connect(call))

    @property
    def bound(self) -> Call | None:
        """The latest successful bind or autobind."""
        binds = (c for c in reversed(self.history.calls) if c.op in ("bind", "autobind"))
        return next((call for call in binds if not call.error), None)

    def connect_for(self, view: SocketView, when: int) -> Call | None:
        """The connect() that made the socket what ``view`` shows at ``when``; None if not seen."""
        if not is_connected(view):
            return None
        ends = ends_of(view)
        for call in reversed(self.connects):
            if call.entered <= when and ends_of(call.after) == ends:
                return call
        return None

    def spanning(self, when: int) -> Call | None:
        """A successful connect(), or its undoing, that was under way at ``when``."""
        for call in reversed(self.history.calls):
            moves = is_connect(call) or (call.op == "disconnect" and not call.error)
            if moves and call.entered <= when <= call.time:
                return call
        return None


class Ends(NamedTuple):
    """A socket's four-tuple, mapped addresses as IPv4."""

    local: str
    lport: int
    peer: str
    pport: int


def ends_of(view: SocketView) -> Ends:
    """The four-tuple of a view; an unconnected socket's peer is empty whatever it still holds."""
    if not is_connected(view):
        return Ends(unmapped(view.local), view.lport, "", 0)
    return Ends(unmapped(view.local), view.lport, unmapped(view.peer), view.pport)


class _Shelf:
    """Records in LRU order, found by port, by ends, or unconnected by port."""

    def __init__(self, limit: int) -> None:
        self.records: Lru[SocketKey, SocketRecord] = Lru(limit)
        self._index: dict[tuple[object, ...], dict[SocketKey, None]] = {}

    def put(self, record: SocketRecord) -> list[SocketRecord]:
        """Add, or add again after `take`; returns the records forgotten for it."""
        key, index = record.key, self._index
        if not record.entries:
            record.entries = _entries(record)
        for entry in record.entries:
            keys = index.get(entry)
            if keys is None:
                index[entry] = {key: None}
            else:
                keys[key] = None
        gone = self.records.put(key, record)
        for old in gone:
            self._unlink(old)
        return gone

    def take(self, key: SocketKey) -> SocketRecord | None:
        """Remove a record, to change its view or for good."""
        record = self.records.pop(key)
        if record is not None:
            self._unlink(record)
        return record

    def find(self, entry: tuple[object, ...]) -> Iterator[SocketRecord]:
        """The records under an entry of the index, in the order of their arrival."""
        for key in self._index.get(entry, ()):
            record = self.records.get(key)
            if record is not None:
                yield record

    def latest(self, entry: tuple[object, ...], limit: int) -> Iterator[SocketRecord]:
        """The last ``limit`` records under an entry, the last to arrive first."""
        for key in islice(reversed(self._index.get(entry, {})), limit):
            record = self.records.get(key)
            if record is not None:
                yield record

    def _unlink(self, record: SocketRecord) -> None:
        for entry in record.entries:
            keys = self._index.get(entry)
            if keys is not None:
                keys.pop(record.key, None)
                if not keys:
                    del self._index[entry]


def _entries(record: SocketRecord) -> tuple[tuple[object, ...], ...]:
    """Where a socket is found; nowhere while it has no port."""
    view = record.view
    port = view.lport
    if not port:
        return ()
    on_port = ("port", view.netns, port)
    if is_connected(view):
        ends = ends_of(view)
        return on_port, ("ends", *ends), ("local", ends.local, port)
    return on_port, ("unconnected", port), ("identity", record.key.identity)


class SocketTable:
    """Every socket seen, open or closed within the window."""

    def __init__(self, limit: int, closed_limit: int, closed_window_ns: int) -> None:
        self._open = _Shelf(limit)
        self._closed = _Shelf(closed_limit)
        self._window = closed_window_ns
        self._by_sock: dict[str, SocketKey] = {}
        self._holders: Lru[int, tuple[Holder, ...]] = Lru(limit)
        self.lost_calls = 0
        """Calls of whatever socket whose records were lost."""
        self._bound: Lru[int, dict[SocketKey, None]] = Lru(limit)
        """The latest unconnected sockets that a process has bound, or was found holding."""

    def __len__(self) -> int:
        """How many open sockets are known."""
        return len(self._open.records)

    @property
    def forgotten(self) -> int:
        """How many sockets were forgotten to stay within the limits."""
        return self._open.records.forgotten + self._closed.records.forgotten

    # What is learned

    def learn(self, event: Event) -> None:
        """Take in what an event tells of sockets."""
        match event:  # the most frequent ones first
            case Call():
                self.called(event)
            case Close():
                self.close(event)
            case Owners():
                self.owned(event)
            case Miss():
                for view in event.walk.candidates if event.walk else ():
                    self.observe(view, event.time)
            case PortDump():
                for view in event.sockets:
                    self.observe(view, event.began)
            case SocketSeen():
                self.observe(event.socket, event.time, "dump")
            case SockError():
                self.told(event)
            case Loss():
                self.lose(event)
            case Known():
                self._restore(event)
            case Carried():
                self.lost_calls += event.lost_calls
            case _:
                pass

    def observe(self, view: SocketView, when: int, how: Sighting = "other") -> SocketRecord:
        """Take in a socket as it was seen, by any source."""
        key = self.key(view)
        lingering = self._closed.records.get(key)
        if lingering is not None:
            if _still_closing(lingering, view, when):
                return lingering
            if not view.inode:
                # Its struct sock is in use again; without an inode nothing else tells them apart.
                key = SocketKey(view.netns, f"sock {view.sock}")
        record = self._open.records.touch(key)
        if record is None:
            if lingering is not None:
                # Its inode is in use again: who held the closed socket does not hold this one.
                self._holders.pop(view.inode)
            record = SocketRecord(key, view, when, History(view, how))
            self._shelve(record)
        elif when >= record.seen:
            record.seen = when
            if view is not record.view and view != record.view:
                self._change(record, view)
        return record

    def _change(self, record: SocketRecord, view: SocketView) -> None:
        moved = not _found_alike(record.view, view)
        if moved:
            self._open.take(record.key)
            record.entries = ()
        record.view = merged(record.view, view)
        if moved:
            self._shelve(record)

    def called(self, call: Call) -> SocketRecord:
        """Take in a connect, bind, autobind or disconnect."""
        record = self.observe(call.after, call.time, "call")
        record.task = call.task
        record.history = record.history.add(call)
        if call.error == 0 and call.op in ("bind", "autobind"):
            self._bind(call.task.pid, record.key)
        return record

    def lose(self, loss: Loss) -> None:
        """Take in that evidence was lost: what a call set may now have no call to its name."""
        if loss.what in ("call", "inflight"):
            self.lost_calls += loss.count

    def close(self, close: Close) -> None:
        """Move a socket to the closed ones, as it was at its close."""
        record = self.observe(close.socket, close.time)
        if record.closed is not None:
            return
        self._open.take(record.key)
        record.closed = close
        self._expire(close.time)
        self._closed.take(record.key)
        for gone in self._closed.put(record):
            self._unname(gone)

    def told(self, error: SockError) -> SocketRecord:
        """Take in an error queued on a socket."""
        record = self.observe(error.socket, error.time)
        if error.errno:
            record.told = error
        return record

    def owned(self, owners: Owners) -> None:
        """Take in who holds a socket; having found nobody does not unsay an earlier finding."""
        if owners.inode and (owners.holders or owners.inode not in self._holders):
            self._holders.put(owners.inode, owners.holders)
            for record in self._open.find(("identity", f"inode {owners.inode}")):
                for holder in owners.holders:
                    self._bind(holder.pid, record.key)

    def _restore(self, known: Known) -> None:
        """Take in a socket with all that was known of it; see `known`."""
        key = self.key(known.socket)
        history = History(known.first, known.sighting, known.calls, known.connects, known.dropped)
        record = SocketRecord(key, known.socket, known.time, history, known.task)
        record.closed, record.told = known.closed, known.told
        if record.closed is None:
            self._open.take(key)
            self._shelve(record)
        else:
            self._closed.take(key)
            if record.view.sock:
                self._by_sock[record.view.sock] = key
            for gone in self._closed.put(record):
                self._unname(gone)
        for call in known.calls:
            if call.error == 0 and call.op in ("bind", "autobind"):
                self._bind(call.task.pid, key)

    def _bind(self, pid: int, key: SocketKey) -> None:
        keys = self._bound.get(pid) or {}
        keys.pop(key, None)
        keys[key] = None
        if len(keys) > _BOUND:
            del keys[next(iter(keys))]
        self._bound.put(pid, keys)

    # What is asked

    def known(self) -> Iterator[Known | Owners]:
        """All that `learn` needs in order to know the same; the least recently seen first."""
        for record in (*self._closed.records, *self._open.records):
            history = record.history
            yield Known(
                time=record.seen,
                socket=record.view,
                first=history.first,
                sighting=history.sighting,
                calls=history.calls,
                connects=history.connects,
                dropped=history.dropped,
                task=record.task,
                closed=record.closed,
                told=record.told,
            )
        for inode, holders in self._holders.items():
            yield Owners(0, inode, holders)

    def record(self, view: SocketView) -> SocketRecord | None:
        """The record of a socket seen earlier."""
        key = self.key(view)
        return self._open.records.get(key) or self._closed.records.get(key)

    def holders(self, inode: int) -> tuple[Holder, ...]:
        """The processes found holding a socket; empty where none is known."""
        return self._holders.get(inode) or ()

    def bound_by(self, pid: int) -> list[SocketRecord]:
        """Open unconnected sockets on a port that a process asked for or has had: its services."""
        found = (self._open.records.get(key) for key in self._bound.get(pid) or ())
        return [
            r for r in found if r and not is_connected(r.view) and r.view.port_lock is not False
        ]

    def on_port(self, netns: int, port: int, netns_cookie: int = 0) -> list[SocketRecord]:
        """Open sockets on a port of a namespace; the cookie tells it from an earlier one."""
        found = self._open.find(("port", netns, port))
        return [r for r in found if same_netns(r.view.netns_cookie, netns_cookie)]

    def closed_on_port(
        self, netns: int, port: int, when: int, netns_cookie: int = 0
    ) -> list[SocketRecord]:
        """Sockets on a port closed within the window before ``when``: the latest, newest first.

        A port that is opened and closed all the time must not make every miss on it a long search.
        """
        found = [
            record
            for record in self._closed.latest(("port", netns, port), _CLOSED_ASKED)
            if same_netns(record.view.netns_cookie, netns_cookie)
        ]
        return [r for r in found if r.closed and 0 <= when - r.closed.time <= self._window]

    def connected(self, ends: Ends, alive_at: int) -> list[SocketRecord]:
        """Connected sockets of any namespace with exactly these ends, not closed by then."""
        return self._alive(("ends", *ends), alive_at)

    def connected_from(self, local: str, lport: int, alive_at: int) -> list[SocketRecord]:
        """Connected sockets of any namespace with this local end, not closed by then."""
        return self._alive(("local", local, lport), alive_at)

    def unconnected(self, lport: int, alive_at: int) -> list[SocketRecord]:
        """Unconnected sockets of any namespace on a local port, not closed by then."""
        return self._alive(("unconnected", lport), alive_at)

    def _alive(self, entry: tuple[object, ...], when: int) -> list[SocketRecord]:
        closed = [r for r in self._closed.find(entry) if r.closed and r.closed.time >= when]
        return [*self._open.find(entry), *closed]

    # Identity

    def key(self, view: SocketView) -> SocketKey:
        """By inode; else by the struct sock, the cookie, the four-tuple, whatever is there."""
        if view.inode:
            return SocketKey(view.netns, f"inode {view.inode}")
        known = self._by_sock.get(view.sock) if view.sock else None
        if known is not None and known.netns == view.netns:
            return known
        if view.sock:
            return SocketKey(view.netns, f"sock {view.sock}")
        if view.cookie:
            return SocketKey(view.netns, f"cookie {view.cookie}")
        return SocketKey(view.netns, f"ends {ends_of(view)}")

    def _shelve(self, record: SocketRecord) -> None:
        """Put an open record; a struct sock that now is another socket ends the earlier one."""
        sock = record.view.sock
        earlier = self._by_sock.get(sock) if sock else None
        if earlier is not None and earlier != record.key:
            old = self._open.take(earlier)
            if old is not None and not old.view.inode:
                # The same socket, seen before it had an inode.
                record.history, record.task = old.history, old.task
        if sock:
            self._by_sock[sock] = record.key
        for gone in self._open.put(record):
            self._unname(gone)

    def _unname(self, record: SocketRecord) -> None:
        sock = record.view.sock
        if self._by_sock.get(sock) == record.key:
            del self._by_sock[sock]

    def _expire(self, now: int) -> None:
        """Drop what was closed before the window; it was not forgotten, it is over."""
        keep = max(self._window, _LINGER_NS)
        oldest = self._closed.records.oldest()
        while oldest is not None and oldest.closed and now - oldest.closed.time > keep:
            self._closed.take(oldest.key)
            self._unname(oldest)
            oldest = self._closed.records.oldest()


def _still_closing(record: SocketRecord, view: SocketView, when: int) -> bool:
    """Whether a sighting of a closed socket is that socket on its way out, not its successor."""
    if record.closed is None:
        return False
    soon = when - record.closed.time <= _LINGER_NS
    return soon and (bool(view.inode) or ends_of(view) == ends_of(record.view))


def _found_alike(old: SocketView, new: SocketView) -> bool:
    """Whether two views of one socket are found by the same struct sock and index entries."""
    if old.lport != new.lport or is_connected(old) != is_connected(new):
        return False
    return new.sock in (old.sock, "") and ends_of(old) == ends_of(new)


def merged(old: SocketView, new: SocketView) -> SocketView:
    """The newer view of a socket, with what its source did not tell taken from the older one."""
    told_of_it, told_before_it = _told(new), _told(old)
    if told_of_it == told_before_it:
        return new
    fields = zip(_UNTOLD.items(), told_of_it, told_before_it, strict=True)
    told_before = {
        field: known for (field, untold), told, known in fields if told != known and told == untold
    }
    if not told_before:
        return new
    if ends_of(old) != ends_of(new):
        # They go with the addresses.
        told_before.pop("local4", None)
        told_before.pop("peer4", None)
    return replace(new, **told_before)
