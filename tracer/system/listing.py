"""Every UDP socket of the machine, or of some network namespaces, as it is now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

from tracer.containers import Container
from tracer.events import Holder
from tracer.parts import Netns as ShownNetns
from tracer.parts import Process
from tracer.sockets.facts import parse_facts
from tracer.sockets.listing import Lister, Look
from tracer.sockets.model import Listed, Need
from tracer.summary import many
from tracer.system.clock import read_clock
from tracer.system.containers.engines import Engines
from tracer.system.containers.members import containers_of, members
from tracer.system.door import NOT_ENTERED, View, look
from tracer.system.netns import HOST, Forbidden, Netns, list_netns
from tracer.system.processes import Holders, OwnerFinder
from tracer.system.snapshot import netns_info
from tracer.timefmt import Anchor
from tracer.wire import WireError

ReadFacts = Callable[[], bytes]
"""Reads the socket iterator (tracer.kernel.iterator) in the thread's network namespace."""

NO_FACTS = "where a port came from, multicast groups, reuseport groups and the kernel's own sockets"


@dataclass
class Listing:
    """The sockets, and in words, a line each, what is missing. ``unread`` counts the network
    namespaces of which nothing is known."""

    sockets: list[Listed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unread: int = 0


def take_listing(
    wanted: Mapping[int, str], read_facts: ReadFacts | None, needs: Need = Need.ALL
) -> Listing:
    """Look at the namespaces asked for, by inode number with the user's words; none: at all.

    ``read_facts`` None: it cannot be had, which the caller has said, or is not needed. What is
    not among ``needs`` is not looked up. Never raises OSError.
    """
    listing = Listing()
    looks: list[tuple[Netns, Look]] = []
    fallbacks: Counter[str] = Counter()
    for netns in _namespaces(wanted):
        try:
            found, lacking = look(netns, partial(_read, netns, read_facts, Need.MEMORY in needs))
        except FileNotFoundError:
            if wanted:
                listing.problems.append(f"{wanted[netns.inum]}: this network namespace is gone")
                listing.unread += 1
            continue  # else it ended while we were looking
        except OSError as error:
            why = NOT_ENTERED if isinstance(error, Forbidden) else error.strerror or error
            fallbacks[f"no socket is known: {why}"] += 1
            listing.unread += 1
            continue
        looks.append((netns, found))
        fallbacks.update(lacking)
    listing.problems += [
        f"{reason}; in {many(count, 'network namespace')}" for reason, count in fallbacks.items()
    ]
    listing.sockets += _named(looks, needs)
    return listing


def _namespaces(wanted: Mapping[int, str]) -> Iterator[Netns]:
    known = list_netns()
    if not wanted:
        yield from known.values()
    for inum, words in wanted.items():
        # One that is mounted nowhere else than where the user says.
        yield known.get(inum, Netns(inum, None, words))


def _read(
    netns: Netns, read_facts: ReadFacts | None, memory: bool, view: View
) -> tuple[Look, list[str]]:
    """What there is of a namespace, and in words what is not. Raises OSError."""
    info = netns_info(netns, view)
    # The dump first: it gives each socket the cookie by which the iterator's facts are found.
    dump = view.sockets(netns.inum, info.cookie, memory=memory)
    lacking = []
    if dump.reason:
        lacking.append(
            f"{dump.reason}; /proc/net/udp was read instead: it tells no cookies, devices, v6only"
            " flags and buffer limits"
        )
    facts, why = None, NOT_ENTERED
    try:
        data = view.run(read_facts) if read_facts else None
        facts = None if data is None else parse_facts(data)
    except (OSError, WireError) as error:
        why = str(error)
    if read_facts and facts is None:
        lacking.append(f"{NO_FACTS} are not known: {why}")
    return Look(info, dump.details, facts, dump.source == "udp_diag"), lacking


def _named(looks: list[tuple[Netns, Look]], needs: Need) -> Iterator[Listed]:
    """The sockets with their holders and containers, as far as these are needed."""
    holders: Holders = {}
    if Need.OWNERS in needs:
        inodes = {detail.view.inode for _, found in looks for detail in found.details} - {0}
        holders = OwnerFinder().scan(inodes) if inodes else {}
    engines, anchor = Engines(), Anchor.of(read_clock())
    container_of = cache(engines.container_of)

    def process(holder: Holder) -> Process:
        start = anchor.utc_of_boottime(holder.start_ns) if holder.start_ns else None
        return Process(holder.pid, holder.comm, holder.fd, start, container_of(holder.pid))

    inside: dict[int, tuple[Container, ...]] = {}
    if Need.CONTAINERS in needs:
        inside = _containers([netns for netns, _ in looks], engines)
    lister = Lister(holders, process)
    for netns, found in looks:
        containers = inside.get(netns.inum, ())
        shown = ShownNetns(netns.inum, found.info.cookie, netns.name, containers)
        yield from lister.sockets(found, shown)


def _containers(namespaces: list[Netns], engines: Engines) -> dict[int, tuple[Container, ...]]:
    """The containers in each namespace but the host's, which those that share it do not own."""
    others = [netns.inum for netns in namespaces if netns.name != HOST]
    if not others:
        return {}
    return {inum: containers_of(pids, engines) for inum, pids in members(others).items()}
