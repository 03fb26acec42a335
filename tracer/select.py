"""What of a trace is shown: the directions, ends, causes and processes asked for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tracer.addresses import unmapped
from tracer.causes import Cause
from tracer.events import Family
from tracer.incident import Incident
from tracer.parts import Process, Socket
from tracer.targets import TargetSet

if TYPE_CHECKING:  # a listing of sockets has none
    from tracer.episode import Episode

Direction = Literal["both", "in", "out"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

CONTAINER = "container"
"""The kind of pairs whose word is the id of a container: a replay's -c."""

WHAT = "what"
"""The kind of pairs whose word is a kind of transition."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters of a command. Words of one kind are alternatives; all kinds must hold.

    ``processes`` are numbers or names. ``hosts`` are addresses or networks, of either end, before
    a translation or after it; so are ``ports``.
    """

    direction: Direction = "both"
    causes: tuple[Cause, ...] = ()
    ports: tuple[int, ...] = ()
    hosts: tuple[Network, ...] = ()
    processes: tuple[str, ...] = ()
    families: tuple[Family, ...] = ()
    containers: tuple[str, ...] = ()
    """Ids of containers whose namespaces are targets: a replay's -c."""
    what: tuple[str, ...] = ()
    """Kinds of transitions; incidents have none."""

    def concerns(self, targets: TargetSet, episode: Episode) -> bool:
        """Whether an incident happens to one of the namespaces asked for."""
        if targets.everything:
            return True
        miss = episode.miss
        views = [error.socket for error in episode.told.values()]
        views += filter(None, [episode.origin.socket])
        out = {(view.netns, view.netns_cookie) for view in views}
        into = {(miss.netns, miss.netns_cookie)}
        if episode.received is not None:
            # What another machine refused went out from where its ICMP came in.
            out, into = out | into, set()
        wanted = {"in": into, "out": out, "both": into | out}[self.direction]
        return any(targets.has(inum, cookie, miss.time) for inum, cookie in wanted)

    def wants(self, incident: Incident) -> bool:
        """Whether the filters let an incident through."""
        d = incident.datagram
        # As it arrived and as it was sent.
        ends = (d, incident.nat) if incident.nat else (d,)
        ports = {port for e in ends for port in (e.sport, e.dport)}
        hosts = {host for e in ends for host in (e.src, e.dst)}
        return (
            (not self.causes or incident.cause in self.causes)
            and (not self.families or d.family in self.families)
            and (not self.ports or not ports.isdisjoint(self.ports))
            and (not self.hosts or any(is_within(end, self.hosts) for end in hosts))
            and (not self.processes or any(map(self.names, _processes(incident))))
        )

    def names(self, process: Process) -> bool:
        """Whether a process is asked for, by its number or its name."""
        return process.comm in self.processes or str(process.pid) in self.processes


def selection_of(pairs: Iterable[tuple[str, str]]) -> Selection:
    """The selection of (kind, word) pairs, as options give them and a recording's header keeps
    them. Raises ValueError for a word that is none."""
    found: dict[str, list[str]] = {}
    for kind, word in pairs:
        found.setdefault(kind, []).append(word)
    (direction,) = (d for d in DIRECTIONS if d == found.get("direction", ["both"])[-1])
    families: tuple[Family, ...] = ("ipv4", "ipv6")
    return Selection(
        direction=direction,
        causes=tuple(map(Cause, found.get("cause", ()))),
        ports=tuple(map(int, found.get("port", ()))),
        hosts=tuple(map(ipaddress.ip_network, found.get("host", ()))),
        processes=tuple(found.get("process", ())),
        families=tuple(f for f in families if f in found.get("family", ())),
        containers=tuple(found.get(CONTAINER, ())),
        what=tuple(found.get(WHAT, ())),
    )


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of these networks; what is none, as in a recording that was
    tampered with, is in none."""
    try:
        end = ipaddress.ip_address(unmapped(address).split("%", 1)[0])
    except ValueError:
        return False
    return any(end in network for network in networks)


def _processes(incident: Incident) -> Iterable[Process]:
    """Everybody an incident names: of the socket, the sender and those told, or not."""
    sockets: list[Socket | None] = [incident.socket, incident.origin]
    sockets += [told.socket for told in incident.told]
    sockets += [sender.socket for sender in incident.not_told]
    for socket in filter(None, sockets):
        yield from socket.processes
        if socket.connect is not None:
            yield socket.connect.by
        if socket.closed is not None:
            yield socket.closed.by
