"""From what is known of a socket to how an incident shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tracer.addresses import endpoint, is_any
from tracer.errnos import errno_name
from tracer.events import (
    Call,
    Close,
    Datagram,
    Family,
    Holder,
    Miss,
    SockError,
    SocketView,
    Task,
    Translation,
)
from tracer.incident import Bind, Closed, Connect, LocalAndPeer, Nat, Netns, Process, Socket
from tracer.match import is_connected
from tracer.namespaces import Namespaces
from tracer.socktable import SocketRecord, SocketTable
from tracer.timefmt import NS, Anchor


class Describer:
    """Turns views, records and tasks into the incident's parts, by one clock anchor."""

    def __init__(self, table: SocketTable, namespaces: Namespaces, anchor: Anchor | None) -> None:
        self._table = table
        self._namespaces = namespaces
        self._anchor = anchor

    def time(self, monotonic: int) -> int | None:
        """UTC nanoseconds; None where the trace has no clock."""
        return None if self._anchor is None else self._anchor.utc(monotonic)

    def datagram(self, miss: Miss) -> Datagram:
        """The datagram, its interface by name where only the number was told."""
        datagram = miss.datagram
        name = datagram.ifname or self._namespaces.links(miss.netns).get(datagram.ifindex, "")
        return replace(datagram, ifname=name)

    def nat(self, translation: Translation) -> Nat:
        """The ends before a translation, and where it was made."""
        b, netns = translation.before, self.netns(translation.netns, translation.netns_cookie)
        return Nat(b.src, b.sport, b.dst, b.dport, netns, translation.direction)

    def netns(self, inum: int, cookie: int) -> Netns:
        return Netns(inum, cookie, self._namespaces.name(inum, cookie))

    def socket(self, view: SocketView, when: int) -> Socket:
        """A socket as ``view`` shows it at ``when``, with the history that led there."""
        record = self._table.record(view)
        connect = record.connect_for(view, when) if record else None
        ends = _local_and_peer(view)
        return Socket(
            netns=self.netns(view.netns, view.netns_cookie),
            family=view.family,
            state="ESTAB" if is_connected(view) else "UNCONN",
            local=ends.local,
            peer=ends.peer,
            device=self._device(view),
            v6only=view.v6only if view.family == "ipv6" else None,
            port_origin=_port_origin(view),
            inode=view.inode,
            cookie=view.cookie,
            uid=view.uid,
            closed=self._closed(record) if record else None,
            processes=self.processes(view, record),
            connect=self._connect(connect) if connect else None,
            bind=self._bind(record, view) if record else None,
            address_bound=view.addr_lock,
        )

    def processes(self, view: SocketView, record: SocketRecord | None) -> tuple[Process, ...]:
        """Who holds a socket, from /proc; else who made the latest call on it."""
        holders = self._table.holders(view.inode)
        if holders:
            return tuple(self._holder(holder) for holder in holders)
        if record is not None and record.task is not None:
            return (self._task(record.task),)
        return ()

    def _holder(self, holder: Holder) -> Process:
        return Process(holder.pid, holder.comm, holder.fd, self._start(holder.start_ns))

    def _task(self, task: Task) -> Process:
        return Process(task.pid, task.comm, None, self._start(task.start_ns))

    def _start(self, boottime: int) -> int | None:
        if not boottime or self._anchor is None:
            return None
        return self._anchor.utc_of_boottime(boottime)

    def _device(self, view: SocketView) -> str | None:
        if not view.device:
            return None
        return self._namespaces.links(view.netns).get(view.device, str(view.device))

    def _closed(self, record: SocketRecord) -> Closed | None:
        close = record.closed
        if close is None:
            return None
        by = self._task(close.task)
        return Closed(self.time(close.time), by, _told_before(record.told, close))

    def _connect(self, call: Call) -> Connect:
        return Connect(
            time=self.time(call.time),
            by=self._task(call.task),
            requested=endpoint(*call.requested) if call.requested else None,
            before=_local_and_peer(call.before),
            after=_local_and_peer(call.after),
            source=_source(call),
            error=errno_name(call.error) if call.error else None,
        )

    def _bind(self, record: SocketRecord, view: SocketView) -> Bind | None:
        call = record.bound
        if call is None or call.after.lport != view.lport:
            return None
        return Bind(self.time(call.time), self._task(call.task), call.op == "autobind")


def label(processes: Sequence[Process]) -> str:
    """The processes of a socket in a sentence: ``nc[3467]``; unknown ones are said to be."""
    if not processes:
        return "an unknown process"
    first = processes[0]
    more = len({process.pid for process in processes}) - 1
    return f"{first.comm}[{first.pid}]" + (f" and {more} more" if more else "")


def netns_words(name: str | None, inum: int) -> str:
    """``netns web``, or by inode number where it has no name."""
    return f"netns {name}" if name else f"netns {inum}"


def forget_flows(netns: Netns, family: Family, address: str, port: int) -> str:
    """The command that has conntrack forget what it tracks to a destination, in its namespace."""
    of6 = "-f ipv6 " if family == "ipv6" else ""
    command = f"conntrack -D {of6}-p udp --orig-dst {address} --orig-port-dst {port}"
    if netns.name == "host":
        return command
    return f"ip netns exec {netns.name} {command}" if netns.name else f"{command} (in its netns)"


def _local_and_peer(view: SocketView) -> LocalAndPeer:
    peer = endpoint(view.peer, view.pport) if is_connected(view) else None
    return LocalAndPeer(endpoint(view.local, view.lport), peer)


def _port_origin(view: SocketView) -> Literal["bound", "kernel-chosen"] | None:
    if view.port_lock is None:
        return None
    return "bound" if view.port_lock else "kernel-chosen"


def _source(call: Call) -> Literal["route", "bound"] | None:
    """Where connect()'s local address came from (net/ipv4/datagram.c:__ip4_datagram_connect)."""
    if is_any(call.after.local):
        return None
    if is_any(call.before.local):
        return "route"
    # An address that no bind() named was left by an earlier connect(), which looked it up.
    return "route" if call.before.addr_lock is False else "bound"


def _told_before(told: SockError | None, close: Close) -> str | None:
    """The error that may have made its owner close it: one told in the second before."""
    if told is None or not 0 <= close.time - told.time <= NS:
        return None
    return errno_name(told.errno)
