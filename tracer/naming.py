"""Numbers of events -> what they are called: times in UTC, namespaces, processes, interfaces."""

from __future__ import annotations

from tracer.events import SocketView, Task
from tracer.inhabitants import Inhabitants
from tracer.namespaces import Namespaces
from tracer.parts import Netns, Process
from tracer.timefmt import Anchor


class Names:
    """What is known by now of namespaces and processes, and one clock anchor."""

    def __init__(
        self,
        namespaces: Namespaces,
        anchor: Anchor | None,
        inhabitants: Inhabitants | None = None,
    ) -> None:
        self._inhabitants = inhabitants or Inhabitants(0)
        self._namespaces = namespaces
        self._anchor = anchor

    def time(self, monotonic: int) -> int | None:
        """UTC nanoseconds; None where the trace has no clock."""
        return None if self._anchor is None else self._anchor.utc(monotonic)

    def netns(self, inum: int, cookie: int) -> Netns:
        """A namespace with its name and its containers."""
        name = self._namespaces.name(inum, cookie)
        # Containers that share the host's network do not make it theirs.
        containers = self._namespaces.containers(inum, cookie) if name != "host" else ()
        return Netns(inum, cookie, name, containers)

    def task(self, task: Task) -> Process:
        """The process that made a call."""
        container = self._inhabitants.container(task.pid, task.start_ns)
        return Process(task.pid, task.comm, None, self._start(task.start_ns), container)

    def device(self, view: SocketView) -> str | None:
        """The interface a socket is bound to, by its number where the name is not known."""
        if not view.device:
            return None
        links = self._namespaces.links(view.netns, view.netns_cookie)
        return links.get(view.device, str(view.device))

    def _start(self, boottime: int) -> int | None:
        if not boottime or self._anchor is None:
            return None
        return self._anchor.utc_of_boottime(boottime)
