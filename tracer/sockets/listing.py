"""Dumps, facts and names put together: the sockets of a listing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tracer.describe import local_and_peer, port_origin
from tracer.events import Holder, NetnsInfo, SocketView
from tracer.incident import Netns, Process, Socket
from tracer.match import is_connected
from tracer.sockets.facts import FactsOf
from tracer.sockets.model import Detail, Facts, Group, Joined, Listed, Reuseport


@dataclass(frozen=True)
class Look:
    """What a look at one network namespace found; ``facts`` None: the iterator cannot be had.

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
        self._groups: dict[tuple[int, int], int] = {}

    def sockets(self, look: Look, netns: Netns) -> list[Listed]:
        """Those of one network namespace, in the order of the dump."""
        found = FactsOf(look.facts or ())
        pairs = [(detail, found.find(detail.view)) for detail in look.details]
        members = Counter(facts.reuseport_group for _, facts in pairs if facts)
        links = dict(look.info.links)
        return [self._listed(look, netns, detail, facts, members, links) for detail, facts in pairs]

    def _listed(
        self,
        look: Look,
        netns: Netns,
        detail: Detail,
        facts: Facts | None,
        members: Counter[int],
        links: Mapping[int, str],
    ) -> Listed:
        return Listed(
            socket=self._socket(detail.view, facts, netns, links),
            view=detail.view,
            rx=detail.rx,
            tx=detail.tx,
            drops=detail.drops,
            memory=detail.memory,
            groups=tuple(_joined(facts.groups, links)) if facts else None,
            more_groups=bool(facts and facts.more_groups),
            shares_port=facts.reuseport if facts else None,
            reuseport=self._reuseport(look.info.inum, facts, members),
            kernel=facts.kernel if facts else None,
            device_told=look.devices_told,
            addresses=look.info.addresses,
        )

    def _socket(
        self, view: SocketView, facts: Facts | None, netns: Netns, links: Mapping[int, str]
    ) -> Socket:
        ends = local_and_peer(view)
        return Socket(
            netns=netns,
            family=view.family,
            state="ESTAB" if is_connected(view) else "UNCONN",
            local=ends.local,
            peer=ends.peer,
            device=links.get(view.device, str(view.device)) if view.device else None,
            v6only=view.v6only if view.family == "ipv6" else None,
            port_origin=port_origin(facts.port_lock if facts else None),
            inode=view.inode,
            cookie=view.cookie or (facts.cookie if facts else 0),
            uid=view.uid,
            closed=None,
            processes=tuple(map(self._process, self._holders.get(view.inode, ()))),
            connect=None,
            address_bound=facts.addr_lock if facts else None,
        )

    def _reuseport(self, inum: int, facts: Facts | None, members: Counter[int]) -> Reuseport | None:
        if facts is None or not facts.reuseport_group:
            return None
        group = facts.reuseport_group
        number = self._groups.setdefault((inum, group), len(self._groups) + 1)
        return Reuseport(number, members[group])


def _joined(groups: Iterable[Group], links: Mapping[int, str]) -> Iterable[Joined]:
    for group in groups:
        device = links.get(group.ifindex, str(group.ifindex))
        yield Joined(group.address, device, group.named_sources)
