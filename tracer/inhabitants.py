"""Which container a process is in, as far as that was looked up; bounded."""

from __future__ import annotations

from tracer.containers import Container
from tracer.events import InContainer
from tracer.lru import Lru
from tracer.parts import CLOCK_TICK_NS


class Inhabitants:
    """The processes found to be containers'; at most ``limit``."""

    def __init__(self, limit: int) -> None:
        self._found: Lru[int, InContainer] = Lru(limit)

    def learn(self, event: InContainer) -> None:
        """Take in what was found of a process."""
        self._found.put(event.pid, event)

    def container(self, pid: int, start_ns: int) -> Container | None:
        """The container of a process that started at this time; None: none is known."""
        found = self._found.get(pid)
        if found is None:
            return None
        # A number that is another process's by now; 0: the start is not known.
        apart = abs(found.start_ns - start_ns)
        other = found.start_ns and start_ns and apart > CLOCK_TICK_NS
        return None if other else found.container
