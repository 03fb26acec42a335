"""Where the containers that -c asks for run, now and whenever they are started anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tracer.containers import Group
from tracer.events import TargetChange
from tracer.system.containers.engines import Engines
from tracer.system.containers.found import Found
from tracer.system.containers.resolve import ambiguous, meant
from tracer.system.netns import Netns, in_netns, netns_cookie
from tracer.system.processes import start_of
from tracer.text import clean

Life = tuple[int, int]
"""A container's first process, by number and start: a restarted one gets the same inode number for
its network namespace more often than not."""


@dataclass
class _Followed:
    """What one word of -c meant: the group that a restart stays in, and what runs of it."""

    spec: str
    group: Group | None = None
    lives: dict[Life, TargetChange] = field(default_factory=dict)
    ends: dict[Life, int] = field(default_factory=dict)
    """A pidfd of each, readable once it has ended."""


class Follower:
    """Looks for the containers again whenever it is asked to."""

    def __init__(
        self,
        specs: tuple[str, ...],
        engines: Engines,
        say: Callable[[str], None],
        now: Callable[[], int],
    ) -> None:
        self._engines = engines
        self._say = say
        self._now = now
        self._followed = [_Followed(spec) for spec in specs]

    @property
    def ends(self) -> list[int]:
        """Descriptors, each readable once a container has ended."""
        return [fd for followed in self._followed for fd in followed.ends.values()]

    def look(self) -> Iterator[TargetChange]:
        """What has started and ended since the last look."""
        for followed in self._followed:
            running = dict(self._running(followed))
            # Those that ended first: a restarted one may have the same namespace number.
            for life in [life for life in followed.lives if life not in running]:
                yield self._ended(followed, life)
            for life, found in running.items():
                if life not in followed.lives and (started := self._started(followed, found)):
                    followed.lives[life] = started
                    with suppress(OSError):  # it has ended already: the next look will see
                        followed.ends[life] = os.pidfd_open(found.pid)
                    yield started

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in self.ends:
            os.close(fd)
        self._followed = []

    def _running(self, followed: _Followed) -> Iterator[tuple[Life, Found]]:
        groups = meant(followed.spec, self._engines)
        running = {
            group: alive
            for group, matches in groups.items()
            if (alive := [found for found in matches if found.running])
        }
        if followed.group is None and running:
            followed.group = next(iter(running))
            if len(running) > 1:
                self._say(f"-c {clean(followed.spec)}: {ambiguous(running)}; the first is followed")
        for found in running.get(followed.group or (), ()):
            if start := start_of(found.pid):
                yield (found.pid, start), found

    def _started(self, followed: _Followed, found: Found) -> TargetChange | None:
        inum = found.netns
        if inum is None:
            return None
        cookie = 0
        with suppress(OSError):  # without CAP_SYS_ADMIN: the number alone
            cookie = in_netns(Netns(inum, None, f"/proc/{found.pid}/ns/net"), netns_cookie)
        container = found.container
        return TargetChange(self._now(), followed.spec, "started", inum, cookie, container)

    def _ended(self, followed: _Followed, life: Life) -> TargetChange:
        began = followed.lives.pop(life)
        fd = followed.ends.pop(life, None)
        if fd is not None:
            os.close(fd)
        return TargetChange(
            self._now(), followed.spec, "ended", began.inum, began.cookie, began.container
        )
