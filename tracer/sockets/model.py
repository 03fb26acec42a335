"""What is known of a socket in a listing, and what that takes; frozen, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cached_property
from typing import Literal

from tracer.addresses import endpoint
from tracer.events import Family, SocketView
from tracer.frozen import frozen
from tracer.match import is_connected
from tracer.parts import Netns, Process, Socket, port_origin
from tracer.sockets.detail import Detail


class Need(Flag):
    """What a listing can do without, where nothing that is shown or asked for takes it."""

    NONE = 0
    MEMORY = auto()
    """The buffers and the drops."""
    FACTS = auto()
    """What only the kernel's socket iterator tells."""
    OWNERS = auto()
    """Who holds it: a look at every descriptor of every process."""
    CONTAINERS = auto()
    """Those in its network namespace: a look at every process."""
    ALL = MEMORY | FACTS | OWNERS | CONTAINERS


@dataclass(frozen=True, slots=True)
class Group:
    """A multicast group that a socket has joined on an interface."""

    address: str
    ifindex: int
    named_sources: bool
    """Only datagrams of sources that the socket names are taken (IP_ADD_SOURCE_MEMBERSHIP)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the kernel's socket iterator tells of a socket, and no dump does."""

    lport: int
    cookie: int
    inode: int
    addr_lock: bool
    port_lock: bool
    reuseport: bool
    reuseport_group: int
    """Opaque, the same for all members of a group; 0: in none."""
    kernel: bool
    """The kernel's own (vxlan, wireguard): no process holds it."""
    groups: tuple[Group, ...]
    more_groups: bool
    """It has joined more groups than these."""


@dataclass(frozen=True, slots=True)
class Reuseport:
    """A SO_REUSEPORT group: a number of this listing's own, and how many sockets are in it."""

    number: int
    members: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A multicast group that a socket has joined, its interface by name."""

    address: str
    device: str
    named_sources: bool


@dataclass(frozen=True)
class Place:
    """What the sockets of a network namespace have in common.

    ``device_told``: whether the source tells which interface a socket is bound to; /proc does not.
    ``reuseport``: the groups by the kernel's opaque number.
    """

    netns: Netns
    links: Mapping[int, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    device_told: bool = True
    reuseport: Mapping[int, Reuseport] = field(default_factory=dict)

    @cached_property
    def order(self) -> tuple[bool, bool, str, int]:
        """The host's first, then by name, then those without one."""
        name = self.netns.name
        return (name != "host", name is None, name or "", self.netns.inum)

    def link(self, ifindex: int) -> str:
        """An interface's name; its number where it has none."""
        return self.links.get(ifindex, str(ifindex))


@frozen
class Listed:
    """A socket of a listing. None is what could not be found out; sizes are bytes.

    Of 100,000 sockets only a few fields are shown, so each is made when it is asked for.
    """

    detail: Detail
    facts: Facts | None
    place: Place
    processes: tuple[Process, ...] = ()

    @property
    def view(self) -> SocketView:
        """As the lookup compares it."""
        return self.detail.view

    @property
    def netns(self) -> Netns:
        """Its network namespace."""
        return self.place.netns

    @property
    def state(self) -> Literal["ESTAB", "UNCONN"]:
        """As ss names it."""
        return "ESTAB" if is_connected(self.detail.view) else "UNCONN"

    @property
    def family(self) -> Family:
        """Of the socket, not of what it takes."""
        return self.detail.view.family

    @property
    def local(self) -> str:
        """Its own end, as printed."""
        view = self.detail.view
        return endpoint(view.local, view.lport)

    @property
    def peer(self) -> str | None:
        """The other end; None where it is not connected."""
        view = self.detail.view
        return endpoint(view.peer, view.pport) if is_connected(view) else None

    @property
    def device(self) -> str | None:
        """The interface that it is bound to."""
        index = self.detail.view.device
        return self.place.link(index) if index else None

    @property
    def v6only(self) -> bool | None:
        """Whether an IPv6 socket takes IPv6 only."""
        return self.view.v6only if self.family == "ipv6" else None

    @property
    def port_origin(self) -> Literal["bound", "kernel-chosen"] | None:
        """Who chose its port."""
        return port_origin(self.facts.port_lock if self.facts else None)

    @property
    def cookie(self) -> int:
        """0: it has none, or it is not told."""
        return self.view.cookie or (self.facts.cookie if self.facts else 0)

    @property
    def groups(self) -> tuple[Joined, ...] | None:
        """The multicast groups that it has joined."""
        if self.facts is None:
            return None
        return tuple(
            Joined(group.address, self.place.link(group.ifindex), group.named_sources)
            for group in self.facts.groups
        )

    @property
    def more_groups(self) -> bool:
        """It has joined more than these."""
        return bool(self.facts and self.facts.more_groups)

    @property
    def shares_port(self) -> bool | None:
        """SO_REUSEPORT is set."""
        return self.facts.reuseport if self.facts else None

    @property
    def reuseport(self) -> Reuseport | None:
        """The group it is in; None also of a socket that is in none."""
        return self.place.reuseport.get(self.facts.reuseport_group) if self.facts else None

    @property
    def kernel(self) -> bool | None:
        """It is the kernel's own."""
        return self.facts.kernel if self.facts else None

    @property
    def socket(self) -> Socket:
        """The same in the words of an incident."""
        view = self.detail.view
        return Socket(
            netns=self.netns,
            family=view.family,
            state=self.state,
            local=self.local,
            peer=self.peer,
            device=self.device,
            v6only=self.v6only,
            port_origin=self.port_origin,
            inode=view.inode,
            cookie=self.cookie,
            uid=view.uid,
            closed=None,
            processes=self.processes,
            connect=None,
            address_bound=self.facts.addr_lock if self.facts else None,
        )
