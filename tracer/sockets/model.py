"""What is known of a socket in a listing; frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.events import SocketView
from tracer.incident import Socket


@dataclass(frozen=True, slots=True)
class Memory:
    """A socket's buffers in bytes, in the order of SK_MEMINFO_* and of ss's skmem."""

    rmem_alloc: int
    rcvbuf: int
    wmem_alloc: int
    sndbuf: int
    fwd_alloc: int
    wmem_queued: int
    optmem: int
    backlog: int


@dataclass(frozen=True, slots=True)
class Detail:
    """A socket of a dump with its queues in bytes; ``drops`` and ``memory`` None: not told."""

    view: SocketView
    rx: int
    tx: int
    drops: int | None = None
    memory: Memory | None = None


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


@dataclass(frozen=True, slots=True)
class Listed:
    """A socket of a listing. None is what could not be found out; sizes are bytes."""

    socket: Socket
    view: SocketView
    rx: int
    tx: int
    drops: int | None
    memory: Memory | None
    groups: tuple[Joined, ...] | None
    more_groups: bool
    shares_port: bool | None
    """SO_REUSEPORT is set."""
    reuseport: Reuseport | None
    """The group it is in; None also of a socket that is in none."""
    kernel: bool | None
    device_told: bool
    """Whether the source tells which interface a socket is bound to: /proc does not."""
    addresses: tuple[str, ...]
    """The local addresses of its network namespace."""
