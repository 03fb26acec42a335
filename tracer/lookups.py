"""What must be looked up because an event mentions it: namespaces, and owners of sockets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from tracer.events import Call, Close, Event, Miss, NetnsInfo, Owners, SockError, SocketView
from tracer.recent import Recent

REFRESH_NS = 1_000_000_000
"""A namespace that misses is looked at again at most this often: addresses come and go."""

_TRIES = 3
"""Look-ups of a namespace that cannot be found before it is given up."""


class Directory(Protocol):
    """Where things are looked up: this machine, or a test's idea of one."""

    def netns(self, inum: int, hint_pids: Iterable[int]) -> NetnsInfo | None:
        """What is known of a namespace now; None when it cannot be found or entered."""

    def owners(self, inodes: Iterable[int], hint_pids: Iterable[int]) -> list[Owners]:
        """The owners that could be looked up now; for the others ask again a little later."""


class Lookups:
    """Sees every event of a trace, and makes the events of what it has looked up for them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._namespaces = _Namespaces()
        self._owned: Recent[int, None] = Recent()
        """Inodes whose owners are known."""
        self._wanted: Recent[int, None] = Recent()
        """Inodes to look up for the first time."""
        self._waiting: Recent[int, None] = Recent()
        """Inodes whose hints led nowhere: they wait for a scan of all processes."""
        self._users: Recent[int, int] = Recent()
        """Inode -> the process last seen calling on that socket."""

    def note(self, event: Event) -> None:
        """Take notice of what an event mentions, and of what another look-up told."""
        if isinstance(event, Call):
            self._users.remember(event.after.inode, event.task.pid)
            self._namespaces.meet(event.after, event.task.pid)
        elif isinstance(event, Miss):
            self._namespaces.due.add(event.netns)
            for candidate in event.walk.candidates if event.walk else ():
                self._want(candidate)
        elif isinstance(event, SockError):
            self._want(event.socket)
        elif isinstance(event, Close):
            # Its inode may be another socket's tomorrow.
            for known in (self._owned, self._wanted, self._waiting, self._users):
                known.pop(event.socket.inode, None)
        elif isinstance(event, NetnsInfo):
            self._namespaces.infos.remember(event.inum, event)
        elif isinstance(event, Owners):
            self._owned.remember(event.inode, None)
            self._waiting.pop(event.inode, None)

    def events(self, now: int) -> list[Event]:
        """What could be looked up of what is wanted, as events; call it after each poll."""
        found: list[Event] = [*self._namespaces.look(self._directory, now)]
        if self._waiting:
            found += self._directory.owners(tuple(self._waiting), ())
        if self._wanted:
            hints = {self._users[i]: None for i in self._wanted if i in self._users}
            found += self._directory.owners(tuple(self._wanted), hints)
            # Those that were found leave again when their event is noted.
            for inode in self._wanted:
                self._waiting.remember(inode, None)
            self._wanted.clear()
        return found

    def refresh_namespaces(self) -> None:
        """Have every known namespace looked at again; only what changed becomes an event."""
        self._namespaces.due.update(self._namespaces.infos)

    def _want(self, socket: SocketView) -> None:
        self._namespaces.meet(socket)
        known = socket.inode in self._owned or socket.inode in self._waiting
        if socket.inode and not known:
            self._wanted.remember(socket.inode, None)


class _Namespaces:
    """The namespaces met, what was told of each, and which are to be looked at."""

    def __init__(self) -> None:
        self.infos: Recent[int, NetnsInfo] = Recent()
        self.due: set[int] = set()
        self._not_before: Recent[int, int] = Recent()
        """When one may be looked at again (monotonic ns)."""
        self._failed: Recent[int, int] = Recent()
        """How often one was looked for in vain."""
        self._users: Recent[int, int] = Recent()
        """Namespace -> a process seen in it."""

    def meet(self, socket: SocketView, pid: int | None = None) -> None:
        """A socket was seen there: one that is new, or a new one of an old number, is due."""
        inum, cookie = socket.netns, socket.netns_cookie
        if pid is not None:
            self._users.remember(inum, pid)
        known = self.infos.get(inum)
        same = known is not None and (known.cookie == cookie or 0 in (known.cookie, cookie))
        if not same and self._failed.get(inum, 0) < _TRIES:
            self.due.add(inum)

    def look(self, directory: Directory, now: int) -> list[NetnsInfo]:
        """What is news of the namespaces that are due and may be looked at at this time."""
        found = []
        for inum in sorted(self.due):
            if now < self._not_before.get(inum, 0):
                continue
            self.due.discard(inum)
            self._not_before.remember(inum, now + REFRESH_NS)
            info = directory.netns(inum, [self._users[inum]] if inum in self._users else [])
            if info is None:
                self._failed.remember(inum, self._failed.get(inum, 0) + 1)
            elif _is_news(self.infos.get(inum), info):
                found.append(info)
        return found


def _is_news(known: NetnsInfo | None, info: NetnsInfo) -> bool:
    return known is None or replace(known, time=info.time) != info
