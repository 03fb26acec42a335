"""What is known of the network namespaces: names, addresses, links."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.addresses import is_loopback, unmapped
from tracer.containers import Container
from tracer.events import NetnsContainers, NetnsInfo
from tracer.lru import Lru


def same_netns(one: int, other: int) -> bool:
    """Whether two cookies met under one inode number can be of one namespace; 0: not known."""
    return one == other or 0 in (one, other)


class Namespaces:
    """The latest NetnsInfo of each namespace; bounded."""

    def __init__(self, limit: int) -> None:
        self._known: Lru[int, NetnsInfo] = Lru(limit)
        self._inhabited: Lru[int, NetnsContainers] = Lru(limit)
        self._links: dict[int, dict[int, str]] = {}
        self._addresses: dict[int, frozenset[str]] = {}

    @property
    def forgotten(self) -> int:
        """How many namespaces were forgotten to stay within the limit."""
        return self._known.forgotten

    def learn(self, info: NetnsInfo) -> None:
        """Take in what was found of one namespace."""
        for gone in self._known.put(info.inum, info):
            del self._links[gone.inum], self._addresses[gone.inum]
        self._links[info.inum] = dict(info.links)
        self._addresses[info.inum] = frozenset(info.addresses)

    def name(self, inum: int, cookie: int) -> str | None:
        """The namespace's name; a reused inode number, told by the cookie, has none."""
        info = self._info(inum, cookie)
        return info.name if info else None

    def inhabited(self, event: NetnsContainers) -> None:
        """Take in which containers are in a namespace."""
        self._inhabited.put(event.inum, event)

    def containers(self, inum: int, cookie: int) -> tuple[Container, ...]:
        """The containers last seen in a namespace; none for another one of a reused number."""
        found = self._inhabited.get(inum)
        return found.containers if found and same_netns(found.cookie, cookie) else ()

    def links(self, inum: int, cookie: int = 0) -> Mapping[int, str]:
        """Interface names by ifindex."""
        return self._links[inum] if self._info(inum, cookie) else {}

    def holders(self, address: str) -> list[NetnsInfo]:
        """The namespaces in which an address that is no loopback address is local."""
        found = [inum for inum, held in self._addresses.items() if unmapped(address) in held]
        return [] if is_loopback(address) else [i for i in map(self._known.get, found) if i]

    def holds(self, inum: int, address: str, cookie: int = 0) -> bool:
        """Whether the address is local there; every namespace holds the loopback addresses."""
        address = unmapped(address)
        known = self._info(inum, cookie) is not None
        return is_loopback(address) or (known and address in self._addresses[inum])

    def _info(self, inum: int, cookie: int) -> NetnsInfo | None:
        """What is known of it; nothing of a namespace that had the number before."""
        info = self._known.get(inum)
        return info if info is not None and same_netns(info.cookie, cookie) else None
