"""Dumps, facts and names put together: the sockets of a listing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tracer.events import Holder, NetnsInfo
from tracer.parts import Netns, Process
from tracer.sockets.detail import Detail
from tracer.sockets.facts import FactsOf
from tracer.sockets.model import Facts, Listed, Place, Reuseport


@dataclass(frozen=True)
class Look:
    """What a look at one network namespace found; ``facts`` None: the iterator was not read.

    ``devices_told``: whether the dump tells which interface a socket is bound to.
    """

    info: NetnsInfo
    details: tuple[Detail, ...]
    facts: list[Facts] | None
    devices_told: bool = True


class Lister:
    """Makes the sockets of a listing out of looks.

    ``holders``: who holds a socket, by its inode. ``process`` makes of a holder what is shown.
    """

    def __init__(
        self, holders: Mapping[int, tuple[Holder, ...]], process: Callable[[Holder], Process]
    ) -> None:
        self._holders = holders
        self._process = process
        self._groups = 0

    def sockets(self, look: Look, netns: Netns) -> Iterator[Listed]:
        """Those of one network namespace, in the order of the dump."""
        found: list[Facts | None] = [None] * len(look.details)
        if look.facts:
            find = FactsOf(look.facts).find
            found = [find(detail.view) for detail in look.details]
        place = Place(
            netns,
            dict(look.info.links),
            look.info.addresses,
            look.devices_told,
            self._reuseport(filter(None, found)),
        )
        for detail, facts in zip(look.details, found, strict=True):
            yield Listed(detail, facts, place, self._processes(detail.view.inode))

    def _processes(self, inode: int) -> tuple[Process, ...]:
        holders = self._holders.get(inode)
        return tuple(map(self._process, holders)) if holders else ()

    def _reuseport(self, found: Iterable[Facts]) -> dict[int, Reuseport]:
        """The groups of a namespace, numbered through the whole listing as they come."""
        members = Counter(facts.reuseport_group for facts in found if facts.reuseport_group)
        first = self._groups + 1
        self._groups += len(members)
        return {
            group: Reuseport(number, count)
            for number, (group, count) in enumerate(members.items(), first)
        }
