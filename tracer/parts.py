"""What an incident is put together from: sockets, their namespaces and processes, and the calls
that made them what they are; frozen, and as JSON."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from tracer.containers import Container, of_pod, workload
from tracer.events import Family
from tracer.frozen import frozen
from tracer.timefmt import utc_text

Json = dict[str, object]

CLOCK_TICK_NS = 10_000_000
"""The resolution of a process's start in /proc/PID/stat (USER_HZ is 100 on every architecture but
Alpha and ia64); the kernel's probes tell it exactly."""


@frozen
class Netns:
    """A network namespace; ``cookie`` 0 where the kernel has none."""

    inum: int
    cookie: int
    name: str | None
    containers: tuple[Container, ...] = field(default=(), compare=False)
    """Those in it, as far as known by now; none for the host's."""

    @property
    def workload(self) -> tuple[Container, ...]:
        """Its containers but for a pod's sandbox, unless that is alone."""
        return workload(self.containers) or self.containers

    @property
    def pod(self) -> str | None:
        """The pod whose it is, as "namespace/name"."""
        return of_pod(self.containers)

    def to_json(self) -> Json:
        alone = self.workload[0] if len(self.workload) == 1 else None
        return {
            "inum": self.inum,
            "cookie": id_json(self.cookie),
            "name": self.name,
            "container": alone and container_json(alone),
            "containers": [container_json(container) for container in self.containers],
            "pod": self.pod,
        }


def container_json(container: Container) -> Json:
    """A container as the JSON stream tells of it."""
    return {
        "engine": container.engine or None,
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "pod": container.pod,
        "uid": container.uid,
    }


@frozen
class Process:
    """A process that holds a socket (then with ``fd``) or made a call on it; ``start`` in UTC."""

    pid: int
    comm: str
    fd: int | None
    start: int | None
    container: Container | None = None

    def to_json(self) -> Json:
        return {
            "pid": self.pid,
            "comm": self.comm,
            "fd": self.fd,
            "start_time": time_json(self.start),
            "container": self.container and self.container.label,
        }

    def is_same(self, other: Process) -> bool:
        """Whether it is the same process, whatever either was called when: by number and start."""
        if self.pid != other.pid or self.start is None or other.start is None:
            return self.pid == other.pid
        return abs(self.start - other.start) <= CLOCK_TICK_NS


@frozen
class LocalAndPeer:
    """A socket's two ends, as printed; ``peer`` None for an unconnected socket."""

    local: str
    peer: str | None

    def to_json(self) -> Json:
        return {"local": self.local, "peer": self.peer}


@frozen
class Connect:
    """The connect() that made a socket's four-tuple; ``time`` of its return, in UTC.

    ``source``: where the local address came from, "route" (connect() looked it up) or "bound".
    """

    time: int | None
    by: Process
    requested: str | None
    before: LocalAndPeer
    after: LocalAndPeer
    source: Literal["route", "bound"] | None
    error: str | None

    def to_json(self) -> Json:
        return {
            "time": time_json(self.time),
            "by": self.by.to_json(),
            "requested": self.requested,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "source": self.source,
            "error": self.error,
        }


@frozen
class Bind:
    """The bind() or autobind that gave an unconnected socket its port; ``time`` in UTC."""

    time: int | None
    by: Process
    automatic: bool


@frozen
class KeptBy:
    """A call that might have changed a value and left it; ``time`` of its return, in UTC."""

    call: Literal["connect", "bind", "autobind", "disconnect"]
    time: int | None
    by: Process
    requested: str | None

    def to_json(self) -> Json:
        return {
            "call": self.call,
            "time": time_json(self.time),
            "by": self.by.to_json(),
            "requested": self.requested,
        }


Source = Literal["route", "bound", "requested", "kernel-chosen"]


@frozen
class SetBy:
    """The call that gave a field its value; ``call`` None, with ``why``, where it was not seen.

    ``time`` of its return, in UTC. ``source``: "requested" by the call, chosen by the "route" that
    connect() looked up, "kernel-chosen" (a port), "bound": some bind() named it, known from the
    socket's lock. ``connects``: how often the socket was connected by the time of the miss, as far
    as seen. ``peer_before`` (the peer that the call replaced) is for the words; the JSON does not
    have it.
    """

    call: Literal["connect", "bind", "autobind", "disconnect"] | None
    time: int | None
    by: Process | None
    requested: str | None
    before: str | None
    value: str
    source: Source | None
    why: str | None
    kept_by: KeptBy | None
    connects: int | None
    peer_before: str | None = None

    def to_json(self) -> Json:
        return {
            "call": self.call,
            "time": time_json(self.time),
            "by": self.by and self.by.to_json(),
            "requested": self.requested,
            "from": self.before,
            "to": self.value,
            "source": self.source,
            "seen": self.call is not None,
            "why": self.why,
            "kept_by": self.kept_by and self.kept_by.to_json(),
            "connects": self.connects,
        }


@frozen
class Closed:
    """When a socket was closed (UTC) and by whom; ``told``: the error it had been told before."""

    time: int | None
    by: Process
    told: str | None = None

    def to_json(self) -> Json:
        return {"time": time_json(self.time), "by": self.by.to_json()}


@frozen
class Socket:
    """A socket as it was at the miss, with what is known of how it came to be so.

    ``bind`` and ``address_bound`` (whether a bind() named the local address) are for the words;
    the JSON does not have them.
    """

    netns: Netns
    family: Family
    state: Literal["ESTAB", "UNCONN"]
    local: str
    peer: str | None
    device: str | None
    v6only: bool | None
    port_origin: Literal["bound", "kernel-chosen"] | None
    inode: int
    cookie: int
    uid: int | None
    closed: Closed | None
    processes: tuple[Process, ...]
    connect: Connect | None
    bind: Bind | None = None
    address_bound: bool | None = None
    port_set_by: SetBy | None = None

    @property
    def holders(self) -> tuple[Process, ...]:
        """The processes found holding it; ``processes`` can be who called on it instead."""
        return tuple(process for process in self.processes if process.fd is not None)

    def held_by(self, process: Process | None) -> bool | None:
        """Whether a process is among the holders; None where these are not known."""
        if process is None or not self.holders:
            return None
        return any(process.is_same(holder) for holder in self.holders)

    def to_json(self) -> Json:
        return {
            "netns": self.netns.to_json(),
            "family": self.family,
            "state": self.state,
            "local": self.local,
            "peer": self.peer,
            "device": self.device,
            "v6only": self.v6only,
            "port_origin": self.port_origin,
            "inode": self.inode or None,
            "cookie": id_json(self.cookie),
            "uid": self.uid,
            "closed": self.closed and self.closed.to_json(),
            "processes": [process.to_json() for process in self.processes],
            "connect": self.connect and self.connect.to_json(),
            "port_set_by": self.port_set_by and self.port_set_by.to_json(),
        }


def port_origin(lock: bool | None) -> Literal["bound", "kernel-chosen"] | None:
    """Where a port came from, by the lock that only a bind() to a port sets; None: not told."""
    if lock is None:
        return None
    return "bound" if lock else "kernel-chosen"


def time_json(ns: int | None) -> str | None:
    """A time of UTC, in ns, as the JSON stream has it."""
    return None if ns is None else utc_text(ns)


def id_json(number: int) -> str | None:
    """A 64-bit identifier: text, since JSON readers round large numbers; 0 is none."""
    return str(number) if number else None
