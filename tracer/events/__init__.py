"""The event types: what the kernel and the system said, frozen, without I/O or conclusions.

Times are nanoseconds of CLOCK_MONOTONIC (bpf_ktime_get_ns) unless a name says otherwise. Addresses
are canonical text (inet_ntop); ports are host order; a netns is its inode number, with the kernel's
net_cookie beside it (0 where the kernel has none) because inode numbers are reused.
"""

from __future__ import annotations

from tracer.events.kernel import (
    LOSSES,
    Call,
    Close,
    Created,
    Expired,
    Fate,
    IcmpFate,
    IcmpReceived,
    Loss,
    Miss,
    MissCount,
    SockError,
    falls_short,
    found_no_port,
)
from tracer.events.looked_up import (
    LOOKED_UP,
    Counters,
    InContainer,
    NetnsContainers,
    NetnsInfo,
    Owners,
    PortDump,
    PortRange,
    SocketSeen,
    TargetChange,
    Translation,
)
from tracer.events.pieces import (
    TCP_CLOSE,
    TCP_ESTABLISHED,
    Datagram,
    Family,
    FourTuple,
    Holder,
    ReceivedIcmp,
    SocketView,
    Task,
    Walk,
)
from tracer.events.trace import (
    Carried,
    Clock,
    End,
    Header,
    Known,
    Tick,
)

Event = (
    Header
    | Clock
    | Call
    | Created
    | Close
    | SockError
    | IcmpReceived
    | Miss
    | PortDump
    | IcmpFate
    | MissCount
    | Expired
    | SocketSeen
    | Owners
    | NetnsInfo
    | PortRange
    | NetnsContainers
    | InContainer
    | TargetChange
    | Translation
    | Counters
    | Loss
    | Known
    | Carried
    | Tick
    | End
)

CARRIED_OVER = (
    Clock,
    NetnsInfo,
    NetnsContainers,
    InContainer,
    TargetChange,
    Known,
    Owners,
    Translation,
    Counters,
    MissCount,
)
"""What can come before `Carried`."""

__all__ = [
    "CARRIED_OVER",
    "LOOKED_UP",
    "LOSSES",
    "TCP_CLOSE",
    "TCP_ESTABLISHED",
    "Call",
    "Carried",
    "Clock",
    "Close",
    "Counters",
    "Created",
    "Datagram",
    "End",
    "Event",
    "Expired",
    "Family",
    "Fate",
    "FourTuple",
    "Header",
    "Holder",
    "IcmpFate",
    "IcmpReceived",
    "InContainer",
    "Known",
    "Loss",
    "Miss",
    "MissCount",
    "NetnsContainers",
    "NetnsInfo",
    "Owners",
    "PortDump",
    "PortRange",
    "ReceivedIcmp",
    "SockError",
    "SocketSeen",
    "SocketView",
    "TargetChange",
    "Task",
    "Tick",
    "Translation",
    "Walk",
    "falls_short",
    "found_no_port",
]
