"""How a datagram would come into a network namespace: by which interface, and whether to stay."""

from __future__ import annotations

import errno
from collections.abc import Container
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from tracer.addresses import is_any, is_loopback
from tracer.errors import UdptraceError, UsageError
from tracer.events import Datagram, Family, NetnsInfo
from tracer.system.links import addresses_on_links, vrfs
from tracer.system.netlink import NetlinkError
from tracer.system.netns import Forbidden, Netns, in_netns
from tracer.system.routes import Kind, Route, route

_LO = 1
"""The ifindex of the loopback interface in every network namespace."""

_ACCEPT = Path("/proc/sys/net/ipv4/udp_l3mdev_accept")
_LIMITED_BROADCAST = "255.255.255.255"

NO_ROUTES = "no permission to enter the network namespace: its routes and VRFs were not read"


@dataclass(frozen=True)
class Ends:
    """The ends of a datagram as the user gave them; ``device`` is the interface by which it comes
    in, by name or number, None where the user leaves that open."""

    family: Family
    src: str
    sport: int
    dst: str
    dport: int
    device: str | None = None


@dataclass(frozen=True)
class Arrival:
    """A datagram as the lookup would see it.

    ``way`` says in words by which interface, and why that one; ``unreached`` why no socket would be
    looked up for it, None where one would be. ``doubts``: what could not be read.
    """

    datagram: Datagram
    way: str
    broadcast: bool = False
    unreached: str | None = None
    l3mdev_accept: bool = False
    doubts: tuple[str, ...] = ()


def find_arrival(netns: Netns, info: NetnsInfo, ends: Ends) -> Arrival:
    """How a datagram with these ends would come into a namespace now; nothing is sent.

    Raises UsageError where an interface has to be named, or does not exist, UdptraceError for what
    is not modelled, and OSError.
    """
    try:
        return in_netns(netns, partial(_inside, info, ends))
    except Forbidden:
        return _outside(info, ends)


@dataclass(frozen=True)
class _Way:
    """``index``: of the interface by which it comes in, 0 where that is not known."""

    index: int
    words: str


# From inside, where routing can be asked


def _inside(info: NetnsInfo, ends: Ends) -> Arrival:
    links, given = dict(info.links), _given(info, ends)
    holders = dict(addresses_on_links())
    # An interface that is named here has to be the route's; only a link-local address is on one.
    on_link = ends.family == "ipv6" and ip_address(ends.dst).is_link_local
    to = route(ends.dst, oif=given or 0 if on_link else 0)
    elsewhere = to is None or to.kind == "other"
    if elsewhere and ends.dst not in holders and ends.dst != _LIMITED_BROADCAST:
        return Arrival(_datagram(ends), "", unreached=_no_address(ends.dst))
    if given == _LO or (given is None and _is_own(ends)):
        return _over_loopback(links, ends, to)
    inside = vrfs()
    if holders.get(ends.src) in inside:
        raise UdptraceError(f"{ends.src} is this namespace's own, in a VRF: that is not modelled")
    holder = holders.get(ends.dst) or (to.device if to is not None else 0)
    way = _Way(given, "") if given else _likely(links, ends, holder, inside)
    within = inside.get(way.index, 0)
    index, sdif = (within, way.index) if within else (way.index, 0)
    name = links.get(way.index, str(way.index))
    kind, unreached = _input(ends, way.index, name)
    return Arrival(
        datagram=_datagram(ends, index, sdif, links.get(index, "")),
        way=f"by {name}{way.words}",
        broadcast=kind == "broadcast",
        unreached=unreached,
        l3mdev_accept=_ACCEPT.exists() and _ACCEPT.read_text().strip() != "0",
    )


def _over_loopback(links: dict[int, str], ends: Ends, to: Route | None) -> Arrival:
    """What is sent here to an own address: the lookup compares the interface of its route."""
    device = to.device if to is not None and to.device else _LO
    name = links.get(device, str(device))
    datagram = _datagram(ends, device, 0, "lo" if device == _LO else "")
    if to is not None and to.kind == "broadcast":
        return Arrival(datagram, f"sent here by {name} and looped back", broadcast=True)
    return Arrival(
        datagram, "over lo" if device == _LO else f"over lo, as if by {name}, which has {ends.dst}"
    )


def _is_own(ends: Ends) -> bool:
    """Whether the source is an address of this namespace."""
    if is_any(ends.src):
        return False
    back = route(ends.src)
    return back is not None and back.kind == "local"


def _likely(links: dict[int, str], ends: Ends, holder: int, vrfs: Container[int]) -> _Way:
    """The interface that leads back to the sender, else the one that has the destination."""
    back = None if is_any(ends.src) or holder in vrfs else route(ends.src)
    if back is not None and back.device not in (0, _LO):
        return _Way(back.device, f", the way to {ends.src}")
    if holder in links and holder != _LO:
        return _Way(holder, f", which has {ends.dst}")
    raise UsageError(f"by which interface would it come? no route to {ends.src}: add --dev NAME")


def _input(ends: Ends, index: int, name: str) -> tuple[Kind, str | None]:
    """What the kernel's input routing makes of it, and why it would go to no socket."""
    if ends.family == "ipv6" and (is_loopback(ends.src) or is_loopback(ends.dst)):
        return "other", f"::1 does not come in by {name}: the datagram would be dropped"
    if ends.dst == _LIMITED_BROADCAST:
        return "broadcast", None
    try:
        found = route(ends.dst, ends.src, iif=index)
    except NetlinkError as error:
        if error.errno == errno.EXDEV:
            return "other", f"the reverse path filter drops what {ends.src} sends by {name}"
        if error.errno == errno.EINVAL:
            # Seen on 7.3 for the reverse path filter, too, which is told by EXDEV on 6.12.
            four = "a martian, the reverse path filter, or no IPv4 there"
            why = four if ends.family == "ipv4" else "no IPv6 there"
            return "other", f"routing refuses {ends.src} to {ends.dst} by {name} ({why})"
        raise
    if found is None or found.kind == "other":
        return "other", f"{_no_address(ends.dst)} (it came by {name})"
    return found.kind, None


# From outside, by the addresses alone


def _outside(info: NetnsInfo, ends: Ends) -> Arrival:
    """Everything but the way is taken from the addresses."""
    given = _given(info, ends)
    own, local = (a in info.addresses or is_loopback(a) for a in (ends.src, ends.dst))
    index = given or (_LO if own else 0)
    name = dict(info.links).get(index, "")
    return Arrival(
        datagram=_datagram(ends, index, 0, name),
        way=f"by {name}" if name else "by an interface not known",
        unreached=_refused_outside(ends, own, local),
        doubts=(NO_ROUTES,),
    )


def _refused_outside(ends: Ends, own: bool, local: bool) -> str | None:
    if not local:
        return _no_address(ends.dst)
    if is_loopback(ends.dst) and not own:
        return f"{ends.dst} takes what this namespace sends itself, and {ends.src} is not its own"
    return None


# What both have


def _given(info: NetnsInfo, ends: Ends) -> int | None:
    """The index of the interface that the user named. Raises UsageError where there is none."""
    if ends.device is None:
        return None
    for index, name in info.links:
        if ends.device in (name, str(index)):
            return index
    names = ", ".join(name for _, name in info.links)
    raise UsageError(f"--dev {ends.device}: no such interface there (there are: {names})")


def _no_address(dst: str) -> str:
    return (
        f"{dst} is no address of this namespace: the datagram would be routed on or dropped "
        "before any lookup"
    )


def _datagram(ends: Ends, index: int = 0, sdif: int = 0, ifname: str = "") -> Datagram:
    return Datagram(ends.family, ends.src, ends.sport, ends.dst, ends.dport, index, sdif, ifname, 0)
