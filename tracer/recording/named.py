"""What -c, -N and -p mean in a recording: the namespaces that it tells of."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.containers import Container, meant_by
from tracer.errors import UsageError
from tracer.events import (
    Call,
    Close,
    Event,
    Miss,
    NetnsContainers,
    NetnsInfo,
    Owners,
    SocketSeen,
    SocketView,
    TargetChange,
)

_LISTED = 20
"""Names that a message lists."""


class Named:
    """What the events of one recording name; reads all of them."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._names: dict[int, set[str]] = {}
        self._containers: dict[Container, None] = {}
        self._of_pid: dict[int, set[int]] = {}
        self._inodes: dict[int, int] = {}
        for event in events:
            self._take(event)

    def netns(self, spec: str) -> list[int]:
        """The namespaces of a name or a number: a name may have been given to several in turn.

        Raises UsageError with what there is.
        """
        found = [inum for inum, names in self._names.items() if spec in (str(inum), *names)]
        if not found:
            there = _some(set().union(*self._names.values())) or "none with a name"
            raise UsageError(
                f"-N {spec}: no network namespace of this name or number in the recording"
                f" (there are: {there})"
            )
        return found

    def container(self, spec: str) -> list[str]:
        """The ids of a container, or of those of a pod, made anew or not. Raises UsageError."""
        groups = meant_by(spec, self._containers)
        if len(groups) > 1:
            who = [f"{c.label} ({c.who})" for group in groups.values() for c in group]
            raise UsageError(f"-c {spec}: it may be any of {_some(who)}: give more of the id")
        if not groups:
            there = _some({c.label for c in self._containers}) or "none at all"
            raise UsageError(f"-c {spec}: no such container in the recording (there are: {there})")
        return sorted({c.id for group in groups.values() for c in group})

    def process(self, pid: int) -> list[int]:
        """The namespaces of the sockets that a process called on or held. Raises UsageError."""
        found = self._of_pid.get(pid)
        if not found:
            raise UsageError(f"-p {pid}: no socket of this process in the recording")
        return sorted(found)

    def _take(self, event: Event) -> None:
        match event:
            case NetnsInfo():
                self._names.setdefault(event.inum, set()).update(filter(None, [event.name]))
            case NetnsContainers():
                self._names.setdefault(event.inum, set())
                self._containers.update(dict.fromkeys(event.containers))
            case TargetChange():
                self._containers[event.container] = None
            case Miss():
                self._names.setdefault(event.netns, set())
            case SocketSeen():
                self._meet(event.socket)
            case Call():
                self._meet(event.after)
                self._of_pid.setdefault(event.task.pid, set()).add(event.after.netns)
            case Close():
                self._of_pid.setdefault(event.task.pid, set()).add(event.socket.netns)
            case Owners():
                inum = self._inodes.get(event.inode)
                for holder in event.holders if inum is not None else ():
                    self._of_pid.setdefault(holder.pid, set()).add(inum or 0)
            case _:
                pass

    def _meet(self, socket: SocketView) -> None:
        self._names.setdefault(socket.netns, set())
        self._inodes[socket.inode] = socket.netns


def _some(names: Iterable[str]) -> str:
    """The names in a list of bounded length."""
    every = sorted(set(names))
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more
