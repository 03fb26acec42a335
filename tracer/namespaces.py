"""What is known of the network namespaces: names, addresses, links."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.addresses import is_loopback, unmapped
from tracer.events import NetnsInfo
from tracer.lru import Lru


class Namespaces:
    """The latest NetnsInfo of each namespace; bounded."""

    def __init__(self, limit: int) -> None:
        self._known: Lru[int, NetnsInfo] = Lru(limit)
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
        info = self._known.get(inum)
        if info is None or (info.cookie and cookie and info.cookie != cookie):
            return None
        return info.name

    def links(self, inum: int) -> Mapping[int, str]:
        """Interface names by ifindex."""
        return self._links.get(inum, {})

    def holders(self, address: str) -> list[NetnsInfo]:
        """The namespaces in which an address that is no loopback address is local."""
        found = [inum for inum, held in self._addresses.items() if unmapped(address) in held]
        return [] if is_loopback(address) else [i for i in map(self._known.get, found) if i]

    def holds(self, inum: int, address: str) -> bool:
        """Whether the address is local there; every namespace holds the loopback addresses."""
        address = unmapped(address)
        return is_loopback(address) or address in self._addresses.get(inum, frozenset())
