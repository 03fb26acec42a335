"""What was looked up beside the events of the kernel."""

from __future__ import annotations

from typing import ClassVar, Literal

from tracer.containers import Container
from tracer.events.pieces import (
    Family,
    FourTuple,
    Holder,
    SocketView,
)
from tracer.frozen import frozen


@frozen
class PortDump:
    """The sockets on a port, read because the walk at a miss fell short of showing them all.

    ``time`` is when the reading ended, ``miss`` the Miss's time. ``total``: how many sockets of
    either family were found there; ``sockets``: the nearest to the datagram by the matcher's
    ranking, without those the walk shows. ``incomplete``: why ``total`` is not all of them, None
    where it is.
    """

    kind: ClassVar[str] = "port"
    time: int
    began: int
    miss: int
    netns: int
    netns_cookie: int
    port: int
    total: int
    sockets: tuple[SocketView, ...]
    incomplete: str | None


@frozen
class SocketSeen:
    """A socket found in a dump (udp_diag), at the start or when asked for later."""

    kind: ClassVar[str] = "socket"
    time: int
    socket: SocketView
    source: Literal["udp_diag", "proc"]


@frozen
class Owners:
    """Processes found holding a socket, by its inode; empty: looked for and none was found."""

    kind: ClassVar[str] = "owners"
    time: int
    inode: int
    holders: tuple[Holder, ...]


@frozen
class NetnsInfo:
    """What is known of a network namespace: its name, its local addresses and its links."""

    kind: ClassVar[str] = "netns"
    time: int
    inum: int
    cookie: int
    name: str | None
    """"host", an `ip netns` name, or None."""
    addresses: tuple[str, ...]
    links: tuple[tuple[int, str], ...]
    """(ifindex, name) pairs."""


@frozen
class PortRange:
    """The ports the kernel chooses from in a network namespace, read since it had found none free.

    net.ipv4.ip_local_port_range, both ends included, and ip_local_reserved_ports as it is written
    there; IPv6 has no others.
    """

    kind: ClassVar[str] = "range"
    time: int
    inum: int
    cookie: int
    first: int
    last: int
    reserved: str


@frozen
class NetnsContainers:
    """The containers that have processes in a network namespace; none: others have, or its name
    says whose it is. Told again when they have changed, and not when all processes are gone."""

    kind: ClassVar[str] = "containers"
    time: int
    inum: int
    cookie: int
    containers: tuple[Container, ...]


@frozen
class InContainer:
    """A process that was found to be a container's, when it was first seen."""

    kind: ClassVar[str] = "process"
    time: int
    pid: int
    start_ns: int
    """CLOCK_BOOTTIME, as in `Task` or in `Holder`."""
    container: Container


@frozen
class TargetChange:
    """A container that -c asked for has started in a network namespace, or has ended there."""

    kind: ClassVar[str] = "target"
    time: int
    spec: str
    """As the user wrote it."""
    state: Literal["started", "ended"]
    inum: int
    cookie: int
    container: Container


@frozen
class Translation:
    """What connection tracking knew of a datagram that missed, looked up just after the miss.

    ``datagram`` are its ends as its receiver saw them, ``receiver`` that receiver's netns;
    ``netns`` and ``netns_cookie`` are of the namespace whose conntrack table had the entry.
    ``before`` are its ends as they came into that namespace: where they are the same, the entry
    translates nothing. ``direction`` is the datagram's in that entry, whose first packet's is
    "original". ``status`` are the entry's IPS_ bits (nf_conntrack_common.h), ``timeout`` the
    seconds it would live on without another packet; None where they were not told.
    """

    kind: ClassVar[str] = "nat"
    time: int
    family: Family
    datagram: FourTuple
    receiver: int
    netns: int
    netns_cookie: int
    before: FourTuple
    direction: Literal["original", "reply"]
    status: int | None = None
    timeout: int | None = None


@frozen
class Counters:
    """What the kernel has counted of a namespace's UDP and ICMP since the namespace began.

    Read between ``time`` and ``until``, by which the counters of misses had been read again: all
    misses in the log before this event came before ``time``, all that are read after ``until``
    after it. Recorded when a value has changed, and always at first and at the end.
    """

    kind: ClassVar[str] = "counters"
    time: int
    until: int
    inum: int
    cookie: int
    values: tuple[tuple[str, int], ...]
    """(nstat's name, cumulative value) of what this kernel counts; empty: the namespace is gone."""
    final: bool = False
    """Read at the end of the trace."""


LOOKED_UP = {
    NetnsInfo,
    PortRange,
    NetnsContainers,
    InContainer,
    TargetChange,
    Owners,
    PortDump,
    Translation,
    Counters,
}
"""What was looked up for what came before, however long that took: it has no part in time."""
