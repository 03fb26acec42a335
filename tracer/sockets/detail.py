"""What a dump tells of a socket: all that a trace needs of listings, of which there is more."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.events import SocketView
from tracer.frozen import frozen


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


@frozen
class Detail:
    """A socket of a dump with its queues in bytes; ``drops`` and ``memory`` None: not told."""

    view: SocketView
    rx: int
    tx: int
    drops: int | None = None
    memory: Memory | None = None
