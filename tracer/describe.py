"""From what is known of a socket to how an incident shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote
from typing import Literal, cast

from tracer.addresses import endpoint, is_any
from tracer.containers import SHORT
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
    Translation,
)
from tracer.incident import Nat
from tracer.inhabitants import Inhabitants
from tracer.match import Mismatch, is_connected
from tracer.namespaces import Namespaces
from tracer.naming import Names
from tracer.parts import (
    Bind,
    Closed,
    Connect,
    KeptBy,
    LocalAndPeer,
    Netns,
    Process,
    SetBy,
    Socket,
    Source,
    port_origin,
)
from tracer.provenance import Field, History, Unseen, setting, value
from tracer.socktable import SocketRecord, SocketTable
from tracer.timefmt import NS, Anchor

# An id that an engine gave: no shell finds anything else in it.
_ID = re.compile("[0-9a-f]{64}")

# Why no call is named, in words.
_UNSEEN: dict[Unseen, str] = {
    "older": "older than the trace",
    "unrecorded": "no record of the call",
    "dropped": "too many calls since, the record of this one was dropped",
}

# What sets a field that no probe sees.
_UNTRACED: dict[Field, str] = {
    "device": "setsockopt(SO_BINDTODEVICE)",
    "ipv6-only": "setsockopt(IPV6_V6ONLY), or net.ipv6.bindv6only",
}


class Describer(Names):
    """Turns views, records and tasks into the incident's parts, by one clock anchor."""

    def __init__(
        self,
        table: SocketTable,
        namespaces: Namespaces,
        anchor: Anchor | None,
        inhabitants: Inhabitants | None = None,
    ) -> None:
        super().__init__(namespaces, anchor, inhabitants)
        self._table = table

    def datagram(self, miss: Miss) -> Datagram:
        """The datagram, its interface by name where only the number was told."""
        datagram = miss.datagram
        links = self._namespaces.links(miss.netns, miss.netns_cookie)
        name = datagram.ifname or links.get(datagram.ifindex, "")
        return datagram if name == datagram.ifname else replace(datagram, ifname=name)

    def holds(self, view: SocketView, address: str) -> bool:
        """Whether a socket's namespace is known to have a local address."""
        return self._namespaces.holds(view.netns, address, view.netns_cookie)

    def nat(self, translation: Translation) -> Nat:
        """The ends before a translation, and where it was made."""
        b, netns = translation.before, self.netns(translation.netns, translation.netns_cookie)
        return Nat(b.src, b.sport, b.dst, b.dport, netns, translation.direction)

    def socket(self, view: SocketView, when: int) -> Socket:
        """A socket as ``view`` shows it at ``when``, with the history that led there."""
        record = self._table.record(view)
        connect = record.connect_for(view, when) if record else None
        ends = local_and_peer(view)
        return Socket(
            netns=self.netns(view.netns, view.netns_cookie),
            family=view.family,
            state="ESTAB" if is_connected(view) else "UNCONN",
            local=ends.local,
            peer=ends.peer,
            device=self.device(view),
            v6only=view.v6only if view.family == "ipv6" else None,
            port_origin=port_origin(view.port_lock),
            inode=view.inode,
            cookie=view.cookie,
            uid=view.uid,
            closed=self._closed(record) if record else None,
            processes=self.processes(view, record),
            connect=self._connect(connect) if connect else None,
            bind=self._bind(record, view) if record else None,
            address_bound=view.addr_lock,
            port_set_by=self._set_by("port", str(view.lport), view, view.family, when),
        )

    def set_by(self, check: Mismatch, view: SocketView, miss: Miss) -> SetBy:
        """What gave the socket the value that refused the datagram."""
        field = cast(Field, check.field.value)
        return self._set_by(field, check.socket, view, miss.datagram.family, miss.time)

    def _set_by(
        self, field: Field, shown: str, view: SocketView, family: Family, when: int
    ) -> SetBy:
        record = self._table.record(view)
        history = record.history if record else History(view)
        found = setting(history, view, field, family, when)
        call = found.call
        connected_before = call is not None and is_connected(call.before)
        return SetBy(
            call=call.op if call else None,
            time=self.time(call.time) if call else None,
            by=self.task(call.task) if call else None,
            requested=_requested(call) if call else None,
            before=self._shown(call.before, field, family) if call else None,
            value=shown,
            source=_source_of(call, field) if call else _source_by_locks(view, field),
            why=self._why(found.unseen, field) if found.unseen else None,
            kept_by=self._kept_by(found.kept_by) if found.kept_by else None,
            connects=history.connects_by(when),
            peer_before=local_and_peer(call.before).peer if call and connected_before else None,
        )

    def _kept_by(self, call: Call) -> KeptBy:
        return KeptBy(call.op, self.time(call.time), self.task(call.task), _requested(call))

    def _shown(self, view: SocketView, field: Field, family: Family) -> str | None:
        """A field's value as a mismatch shows it; None for a peer or a port that is not set."""
        if field == "local-address" and is_any(view.local):
            return view.local
        held = value(view, field, family)
        if field == "device":
            return self.device(view) or "unbound"
        if field == "ipv6-only":
            return "ipv6" if held else "ipv4 and ipv6"
        return str(held) if held and not is_any(str(held)) else None

    def _why(self, unseen: Unseen, field: Field) -> str:
        """Why the call is not named; with what else may have happened where that is possible."""
        if unseen == "untraced":
            return f"not traced: set by {_UNTRACED[field]}"
        if unseen == "default":
            return "never set: a socket begins so"
        doubts = [_UNSEEN[unseen]]
        if self._table.lost_calls:
            doubts.append(f"{self._table.lost_calls} records of calls were lost")
        if self._table.forgotten:
            doubts.append("some sockets were forgotten to bound memory")
        return "not seen: " + "; ".join(doubts)

    def processes(self, view: SocketView, record: SocketRecord | None) -> tuple[Process, ...]:
        """Who holds a socket, from /proc; else who made the latest call on it."""
        holders = self._table.holders(view.inode)
        if holders:
            return tuple(self._holder(holder) for holder in holders)
        if record is not None and record.task is not None:
            return (self.task(record.task),)
        return ()

    def _holder(self, holder: Holder) -> Process:
        container = self._inhabitants.container(holder.pid, holder.start_ns)
        start = self._start(holder.start_ns)
        return Process(holder.pid, holder.comm, holder.fd, start, container)

    def _closed(self, record: SocketRecord) -> Closed | None:
        close = record.closed
        if close is None:
            return None
        by = self.task(close.task)
        return Closed(self.time(close.time), by, _told_before(record.told, close))

    def _connect(self, call: Call) -> Connect:
        return Connect(
            time=self.time(call.time),
            by=self.task(call.task),
            requested=endpoint(*call.requested) if call.requested else None,
            before=local_and_peer(call.before),
            after=local_and_peer(call.after),
            source=_source(call),
            error=errno_name(call.error) if call.error else None,
        )

    def _bind(self, record: SocketRecord, view: SocketView) -> Bind | None:
        call = record.bound
        if call is None or call.after.lport != view.lport:
            return None
        return Bind(self.time(call.time), self.task(call.task), call.op == "autobind")


def label(processes: Sequence[Process]) -> str:
    """The processes of a socket in a sentence: ``nc[3467]``; unknown ones are said to be."""
    if not processes:
        return "an unknown process"
    first = processes[0]
    more = len({process.pid for process in processes}) - 1
    return f"{first.comm}[{first.pid}]" + (f" and {more} more" if more else "")


def netns_words(netns: Netns) -> str:
    """``container web``, ``pod default/web``, ``netns web``; by number where nothing is known."""
    if netns.pod is not None:
        return f"pod {netns.pod}"
    if netns.containers:
        labels = [container.label for container in netns.workload]
        return f"container{'s' if len(labels) > 1 else ''} {', '.join(labels)}"
    return f"netns {netns.name or netns.inum}"


def forget_flows(netns: Netns, family: Family, address: str, port: int) -> str:
    """The command that has conntrack forget what it tracks to a destination, in its namespace."""
    of6 = "-f ipv6 " if family == "ipv6" else ""
    command = f"conntrack -D {of6}-p udp --orig-dst {quote(address)} --orig-port-dst {port}"
    inside = enter(netns)
    return f"{command} (in its netns)" if inside is None else inside + command


def enter(netns: Netns) -> str | None:
    """What to put before a command so that it runs in a namespace; None where that is not known."""
    if netns.name is not None:
        return f"ip netns exec {quote(netns.name)} " if netns.name != "host" else ""
    for container in netns.containers:
        if container.engine in ("docker", "podman") and _ID.fullmatch(container.id):
            inspect = f"{container.engine} inspect -f '{{{{.State.Pid}}}}' {container.id[:SHORT]}"
            return f"nsenter -t $({inspect}) -n "
    return None


def local_and_peer(view: SocketView) -> LocalAndPeer:
    """A socket's ends as they are printed."""
    peer = endpoint(view.peer, view.pport) if is_connected(view) else None
    return LocalAndPeer(endpoint(view.local, view.lport), peer)


def _requested(call: Call) -> str | None:
    """What user space asked for, as an endpoint."""
    return endpoint(*call.requested) if call.requested else None


def _source_of(call: Call, field: Field) -> Source | None:
    """Who chose the value that a call gave a field: the caller, or the kernel for it."""
    address, port = call.requested or ("", 0)
    if field == "port":
        return "requested" if port else "kernel-chosen"
    if field == "local-address" and call.op == "connect":
        return "route"
    if field == "remote-address" and is_any(address):
        return "route"  # connect() to the wildcard is one to oneself
    return "requested" if call.requested and field != "ipv6-only" else None


def _source_by_locks(view: SocketView, field: Field) -> Source | None:
    """What the socket itself shows of a value that no call seen has set."""
    lock = {"local-address": view.addr_lock, "port": view.port_lock}.get(field)
    if lock is None:
        return None
    if lock:
        return "bound"
    return "route" if field == "local-address" else "kernel-chosen"


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
