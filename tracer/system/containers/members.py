"""Which containers have processes in which network namespaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tracer.containers import Container
from tracer.system.containers.engines import Engines
from tracer.system.netns import netns_inum
from tracer.system.processes import all_pids

_MOST = 256
"""Processes of one namespace whose containers are looked for."""


def netns_of(pid: int) -> int | None:
    """The inode number of a process's network namespace; None if it is gone or may not be seen."""
    return netns_inum(f"/proc/{pid}/ns/net")


def members(netns: Collection[int]) -> dict[int, list[int]]:
    """The processes in each of these namespaces, in ascending order; a look at every process."""
    found: dict[int, list[int]] = {inum: [] for inum in netns}
    for pid in all_pids():
        inum = netns_of(pid)
        if inum in found:
            found[inum].append(pid)
    return found


def containers_of(pids: Iterable[int], engines: Engines) -> tuple[Container, ...]:
    """The containers of these processes, each once, in their order."""
    found: dict[Container, None] = {}
    for pid in list(pids)[:_MOST]:
        container = engines.container_of(pid)
        if container is not None:
            found[container] = None
    return tuple(found)
