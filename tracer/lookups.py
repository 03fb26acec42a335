"""What must be looked up because an event mentions it: namespaces, owners, translations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from tracer.events import (
    Call,
    Close,
    Created,
    Datagram,
    Event,
    Holder,
    IcmpReceived,
    Miss,
    NetnsInfo,
    Owners,
    PortDump,
    PortRange,
    SockError,
    SocketView,
    Task,
    found_no_port,
)
from tracer.lru import Lru
from tracer.namespaces import same_netns
from tracer.translations import Tracker, Translations

REFRESH_NS = 1_000_000_000
"""A namespace that misses is looked at again at most this often, and so are the owners of a socket
that refuses: addresses come and go, and sockets are passed on."""

LIMIT = 65536
"""Sockets and namespaces kept in mind; more than a machine has at one time."""

_TRIES = 3
"""Look-ups of a namespace that cannot be found before it is given up."""


_NAMED = 16
"""Of the sockets found on a port, the nearest, which an incident may name."""

_FEW = 16
"""Sockets of one port, at most, whose owners are looked at again: a crowd stays with its server."""


class Directory(Protocol):
    """Where things are looked up: this machine, or a test's idea of one."""

    @property
    def tracker(self) -> Tracker:
        """Where connection tracking is asked."""

    def netns(self, inum: int, hint_pids: Iterable[int]) -> NetnsInfo | None:
        """What is known of a namespace now; None when it cannot be found or entered."""

    def port_range(self, inum: int, hint_pids: Iterable[int]) -> PortRange | None:
        """The ports a namespace's kernel chooses from; None where that cannot be read."""

    def is_named(self, inum: int, name: str) -> bool:
        """Whether a namespace's name leads to that number still."""

    def owners(self, inodes: Iterable[int], hint_pids: Iterable[int]) -> list[Owners]:
        """The owners that could be looked up now; for the others ask again a little later."""

    @property
    def containers(self) -> Containers:
        """Who looks for containers, in their own time."""


class Containers(Protocol):
    """Takes what is to be looked up; its answers are events of a later step."""

    def want_netns(self, inum: int, cookie: int, hint_pids: Iterable[int] = ()) -> None:
        """Have the containers of a namespace looked up, through processes seen in it at first."""

    def want_process(self, pid: int, start_ns: int) -> None:
        """Have the container of a process looked up, while it is there."""


class Lookups:
    """Sees every event of a trace, and makes the events of what it has looked up for them."""

    def __init__(self, directory: Directory, limit: int = LIMIT) -> None:
        self._directory = directory
        self._namespaces = _Namespaces(limit)
        self._translations = Translations(directory.tracker, limit)
        self._owned: Lru[int, Owners] = Lru(limit)
        """Inode -> what was found of its owners, dated when it was looked at last."""
        self._wanted: Lru[int, int] = Lru(limit)
        """Inodes to look up for the first time."""
        self._waiting: Lru[int, int] = Lru(limit)
        """Inodes whose hints led nowhere: they wait for a scan of all processes."""
        self._users: Lru[int, int] = Lru(limit)
        """Inode -> the process last seen calling on that socket."""
        self._ranges: Lru[int, PortRange] = Lru(limit)
        """Namespace -> the ports to choose from, as last told."""
        self._exhausted: dict[int, int] = {}
        """Namespaces where the kernel found no port free -> the process that wanted one."""
        self._met: Lru[tuple[int, int], int] = Lru(limit)
        """Processes met, by number and start: their containers have been asked for."""

    def note(self, event: Event) -> None:
        """Take notice of what an event mentions, and of what another look-up told."""
        if isinstance(event, Call):
            self._used(event)
            self._meet(event.task)
            self._namespaces.meet(event.after.netns, event.after.netns_cookie, event.task.pid)
            if found_no_port(event):
                self._exhausted[event.after.netns] = event.task.pid
        elif isinstance(event, Created):
            self._meet(event.task)
            self._namespaces.meet(event.socket.netns, event.socket.netns_cookie, event.task.pid)
        elif isinstance(event, Miss):
            self._namespaces.meet(event.netns, event.netns_cookie)
            self._namespaces.missed(event.netns, event.datagram)
            self._translations.want(event)
            candidates = event.walk.candidates if event.walk else ()
            for candidate in candidates:
                self._want(candidate, event.time, again=len(candidates) <= _FEW)
        elif isinstance(event, IcmpReceived):
            self._namespaces.meet(event.netns, event.netns_cookie)
            self._namespaces.due.add(event.netns)
        elif isinstance(event, PortDump):
            for near in event.sockets[:_NAMED]:
                self._want(near, event.time, again=False)
        elif isinstance(event, SockError):
            self._want(event.socket, event.time, again=True)
        elif isinstance(event, Close):
            self._meet(event.task)
            # Its inode may be another socket's tomorrow.
            self._owned.pop(event.socket.inode)
            for known in (self._wanted, self._waiting, self._users):
                known.pop(event.socket.inode)
        elif isinstance(event, NetnsInfo):
            self._namespaces.infos.put(event.inum, event)
            self._directory.containers.want_netns(event.inum, event.cookie)
        elif isinstance(event, Owners):
            self._found(event)
            for holder in event.holders:
                self._meet(holder)

    @property
    def owed(self) -> bool:
        """Something was mentioned and has not been looked for yet."""
        wanted = self._namespaces.due or self._exhausted or len(self._wanted)
        return bool(wanted or self._translations.owed)

    def events(self, now: int) -> list[Event]:
        """What could be looked up of what is wanted, as events; call it after each poll."""
        # First what passes: an entry of conntrack is gone after a while, or another's.
        translations = self._translations.look(self._namespaces.infos.get, now)
        for translation in translations:
            self._namespaces.meet(translation.netns, translation.netns_cookie)
        found: list[Event] = [*translations]
        found += self._namespaces.look(self._directory, now)
        found += self._port_ranges(now)
        looked: list[Owners] = []
        if len(self._waiting):
            looked += self._directory.owners(tuple(self._waiting), ())
        wanted = tuple(self._wanted)
        if wanted:
            looked += self._directory.owners(wanted, self._hints(wanted))
        for inode in wanted:
            self._wanted.pop(inode)
            self._waiting.put(inode, inode)
        return found + [owners for owners in looked if self._found(owners)]

    def refresh_namespaces(self) -> None:
        """Have every known namespace looked at again; only what changed becomes an event."""
        self._namespaces.due.update(info.inum for info in self._namespaces.infos)

    def _port_ranges(self, now: int) -> Iterator[PortRange]:
        """The ports to choose from where there was none free, where they are news."""
        for inum, pid in self._exhausted.items():
            known = self._ranges.get(inum)
            if known is not None and now - known.time < REFRESH_NS:
                continue
            told = self._directory.port_range(inum, (pid,))
            if told is None:
                continue
            self._ranges.put(inum, told)
            if known is None or replace(known, time=told.time) != told:
                yield told
        self._exhausted.clear()

    def _meet(self, process: Task | Holder) -> None:
        """A process was seen: which container it is in is asked once, while it is there."""
        key = (process.pid, process.start_ns)
        if key not in self._met:
            self._met.put(key, process.pid)
            self._directory.containers.want_process(*key)

    def _used(self, call: Call) -> None:
        """A process called on a socket: where to look for its owners, who may be others now."""
        inode, pid = call.after.inode, call.task.pid
        self._users.put(inode, pid)
        known = self._owned.get(inode)
        if known is not None and all(holder.pid != pid for holder in known.holders):
            self._owned.pop(inode)

    def _want(self, socket: SocketView, when: int, *, again: bool) -> None:
        self._namespaces.meet(socket.netns, socket.netns_cookie)
        inode, known = socket.inode, self._owned.get(socket.inode)
        # A socket is passed on without a call on it. One that nobody held is a kernel's own.
        stale = known is not None and known.holders and when - known.time >= REFRESH_NS
        if inode and inode not in self._waiting and (known is None or (again and stale)):
            self._wanted.put(inode, inode)

    def _hints(self, inodes: Iterable[int]) -> dict[int, None]:
        """The processes that called on these sockets last, and those that held them."""
        hints = dict.fromkeys(filter(None, map(self._users.get, inodes)))
        for known in filter(None, map(self._owned.get, inodes)):
            hints |= dict.fromkeys(holder.pid for holder in known.holders)
        return hints

    def _found(self, owners: Owners) -> bool:
        """Keep what was found of a socket's owners; returns whether it is news."""
        known = self._owned.get(owners.inode)
        self._owned.put(owners.inode, owners)
        self._waiting.pop(owners.inode)
        return known is None or known.holders != owners.holders


class _Namespaces:
    """The namespaces met, what was told of each, and which are to be looked at."""

    def __init__(self, limit: int) -> None:
        self.infos: Lru[int, NetnsInfo] = Lru(limit)
        self.due: set[int] = set()
        self._not_before: Lru[int, int] = Lru(limit)
        """When one may be looked at again (monotonic ns)."""
        self._failed: Lru[int, int] = Lru(limit)
        """How often one was looked for in vain."""
        self._hurried: Lru[int, int] = Lru(limit)
        """The time of what was known when one was looked at before its time."""
        self._users: Lru[int, int] = Lru(limit)
        """Namespace -> a process seen in it."""
        self._cookies: Lru[int, int] = Lru(limit)
        """The latest cookie met under a number."""
        self._doubted: dict[int, str] = {}
        """Met where the kernel tells no cookie: the name has to lead to the number still."""
        self._renamed: set[int] = set()
        """Of those, the ones met since their name leads elsewhere."""

    def meet(self, inum: int, cookie: int, pid: int | None = None) -> None:
        """An event was of it: a namespace that is new, or a new one of an old number, is due."""
        if pid is not None:
            self._users.put(inum, pid)
        known = self.infos.get(inum)
        same = known is not None and same_netns(known.cookie, cookie)
        if not same and self._cookies.get(inum) not in (None, cookie):
            # Another namespace has the number now: what was found, or not, was of the earlier one.
            self._not_before.pop(inum)
            self._failed.pop(inum)
        self._cookies.put(inum, cookie)
        if same and known is not None and known.name and 0 in (known.cookie, cookie):
            self._doubted[inum] = known.name
        if not same and (self._failed.get(inum) or 0) < _TRIES:
            self.due.add(inum)

    def missed(self, inum: int, datagram: Datagram) -> None:
        """Addresses and links come and go, so that it is due again; at once where what is known
        lacks the datagram's interface, but only once for what is known."""
        self.due.add(inum)
        known = self.infos.get(inum)
        if known is None or datagram.ifname or datagram.ifindex in dict(known.links):
            return
        if self._hurried.get(inum) != known.time:
            self._hurried.put(inum, known.time)
            self._not_before.pop(inum)

    def look(self, directory: Directory, now: int) -> list[NetnsInfo]:
        """What is news of the namespaces that are due and may be looked at at this time."""
        found = []
        self._check_names(directory)
        for inum in sorted(self.due):
            if now < (self._not_before.get(inum) or 0):
                continue
            self.due.discard(inum)
            self._not_before.put(inum, now + REFRESH_NS)
            hints = tuple(filter(None, [self._users.get(inum)]))
            directory.containers.want_netns(inum, self._cookies.get(inum) or 0, hints)
            info = directory.netns(inum, hints)
            met = info is not None and self._is_the_one_met(info)
            self._renamed.discard(inum)
            if info is None or not met:
                # Gone, and the number may be the next one's: that one is looked at when it is met.
                self._failed.put(inum, (self._failed.get(inum) or 0) + 1)
                continue
            self._failed.pop(inum)
            if _is_news(self.infos.get(inum), info):
                found.append(info)
        return found

    def _is_the_one_met(self, info: NetnsInfo) -> bool:
        """Whether what was found under a number is the namespace met, and not its successor, which
        may be half set up. Without cookies the name tells, until the new name was met too."""
        if not same_netns(info.cookie, self._cookies.get(info.inum) or 0):
            return False
        known = self.infos.get(info.inum)
        if info.cookie or known is None or known.name == info.name or info.inum in self._renamed:
            return True
        self.infos.pop(info.inum)
        self._not_before.pop(info.inum)
        return False

    def _check_names(self, directory: Directory) -> None:
        """Without cookies only its name can show that a number is another namespace's by now."""
        for inum, name in self._doubted.items():
            if directory.is_named(inum, name):
                continue
            self._renamed.add(inum)
            self.due.add(inum)
            # One that was looked for in vain, and has a successor now, must not wait for ever; nor
            # is one that cannot be found looked for all the time.
            if (self._failed.get(inum) or 0) < _TRIES:
                self._not_before.pop(inum)
        self._doubted.clear()


def _is_news(known: NetnsInfo | None, info: NetnsInfo) -> bool:
    return known is None or replace(known, time=info.time) != info
