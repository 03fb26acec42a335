"""The verdict on a miss: which socket should have taken the datagram, and what kept it from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracer.addresses import endpoint, is_any
from tracer.causes import Cause
from tracer.describe import Describer, label, netns_words
from tracer.events import Call, Close, Miss, NetnsInfo, PortDump, ReceivedIcmp, SocketView
from tracer.frozen import frozen
from tracer.match import Mismatch, Nearest, failing_checks, is_connected, nearest, takes_part
from tracer.namespaces import Namespaces
from tracer.onport import Ports
from tracer.parts import Netns
from tracer.reuseport import group_hint
from tracer.socktable import SocketRecord, SocketTable
from tracer.timefmt import NS

# How many sockets of other namespaces a hint names.
_ELSEWHERE = 3


@frozen
class Verdict:
    """Why a datagram was not taken, before it is put into words.

    ``candidates``: further sockets on the port, beside the one named.
    """

    cause: Cause
    socket: SocketView | None = None
    mismatch: tuple[Mismatch, ...] = ()
    candidates: int = 0
    certain: bool = True
    caveats: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


class Judge:
    """Judges misses by the sockets read at the miss, then by the table of those known."""

    def __init__(self, table: SocketTable, namespaces: Namespaces, closed_window_ns: int) -> None:
        self._table = table
        self._ports = Ports(table)
        self._namespaces = namespaces
        self._window = closed_window_ns

    def judge(
        self,
        miss: Miss,
        known: Sequence[SocketView],
        dump: PortDump | None,
        describer: Describer,
        traced_since: int | None,
    ) -> Verdict:
        """The verdict, by everything known when the miss has settled.

        ``known``: the sockets known on the port at the miss, from `known_on_port`; ``dump``: those
        read after it; ``traced_since``: the monotonic time from which closes are known.
        """
        on_port = self._ports.at(miss, known, dump)
        verdict = self._verdict(miss, on_port.sockets, describer, traced_since)
        named = verdict.socket is not None and verdict.cause is not Cause.CLOSED
        return replace(
            verdict,
            candidates=on_port.total - named,
            # No lookup looked at them where none missed.
            certain=verdict.certain and (on_port.certain or not miss.proven),
            caveats=(*on_port.caveats, *verdict.caveats),
            hints=(*verdict.hints, *_cut_short(miss)),
        )

    def race_again(self, miss: Miss, race: Verdict) -> Verdict:
        """The verdict on a race, with the calls that were recorded since."""
        if race.socket is None:
            return race
        verdict = self._race(miss, race.socket)
        others = race.caveats[:-1]  # the last is the race's own
        return replace(
            verdict,
            candidates=race.candidates,
            certain=verdict.certain and not others,
            caveats=(*others, *verdict.caveats),
            hints=(*verdict.hints, *_cut_short(miss)),
        )

    def remote(self, icmp: ReceivedIcmp) -> Verdict:
        """The verdict on a datagram that an ICMP from elsewhere tells of."""
        holders = self._namespaces.holders(icmp.sender)
        caveats = tuple(
            f"the ICMP's sender {icmp.sender} is an address of {self._name(h)} on "
            "this machine, where no such miss was seen"
            for h in holders[:_ELSEWHERE]
        )
        return Verdict(Cause.REMOTE, certain=not caveats, caveats=caveats)

    def note(self, change: Call | Close) -> None:
        """Take notice of what may change a port between a miss and what is read for it."""
        self._ports.note(change)

    def known_on_port(self, miss: Miss) -> tuple[SocketView, ...]:
        """The sockets known from before, to be asked at the miss; empty where its walk suffices."""
        return self._ports.known(miss)

    def _verdict(
        self,
        miss: Miss,
        on_port: list[SocketView],
        describer: Describer,
        traced_since: int | None,
    ) -> Verdict:
        if not miss.proven:
            return Verdict(Cause.REJECTED)
        closed = self._closed(miss)
        links = self._namespaces.links(miss.netns, miss.netns_cookie)
        near = nearest(
            on_port,
            miss.datagram,
            links=links,
            l3mdev_accept=miss.l3mdev_accept,
        )
        racing = self._connect_race(miss, on_port)
        if racing is not None:
            return Verdict(Cause.CONNECT_RACE, racing)
        if near is not None and near.mismatch:
            hints = group_hint(near, on_port, miss, links)
            hints += self._closed_hint(closed, miss, describer) if _exact(closed) else ()
            return Verdict(near.mismatch[0].field, near.socket, near.mismatch, hints=hints)
        if closed is not None:
            hints = _would_have_refused(closed)
            return Verdict(Cause.CLOSED, closed.socket, closed.mismatch, hints=hints)
        if near is not None:
            return self._race(miss, near.socket)
        return self._no_socket(miss, on_port, describer, traced_since)

    # Races

    def _connect_race(self, miss: Miss, on_port: Iterable[SocketView]) -> SocketView | None:
        """A socket that takes the datagram before and after a connect() that spans the miss, with
        its peer.

        Between, connect() moves it from one hash chain to another (CVE-2024-57974), and what the
        walk shows of it can be half of each. So does connect(AF_UNSPEC), on every kernel.
        """
        for view in on_port:
            call = self._spanning(view, miss.time)
            if call is not None and _takes(call.before, miss) and _takes(call.after, miss):
                return _with_peer(call)
        return None

    def _race(self, miss: Miss, view: SocketView) -> Verdict:
        """The socket read at the miss takes the datagram, yet the lookup just before did not."""
        call = self._spanning(view, miss.time)
        if call is None:
            caveat = "no connect() of that socket was recorded around the miss"
            return Verdict(Cause.RACE, view, certain=False, caveats=(caveat,))
        if _takes(call.after, miss):
            return Verdict(Cause.CONNECT_RACE, _with_peer(call))
        refused = self._refusals(call.after, miss)
        if call.after.lport == miss.datagram.dport and refused:
            # What was read is half of what connect() was making of it, which would have refused.
            return Verdict(refused[0].field, call.after, refused)
        caveat = "its connect(AF_UNSPEC), which gave up the port, was under way"
        return Verdict(Cause.RACE, view, certain=False, caveats=(caveat,))

    def _refusals(self, view: SocketView, miss: Miss) -> tuple[Mismatch, ...]:
        links = self._namespaces.links(miss.netns, miss.netns_cookie)
        accept = miss.l3mdev_accept
        return failing_checks(view, miss.datagram, links=links, l3mdev_accept=accept)

    def _spanning(self, view: SocketView, when: int) -> Call | None:
        record = self._table.record(view)
        return record.spanning(when) if record else None

    # Closed sockets

    def _closed(self, miss: Miss) -> Nearest | None:
        """A socket closed before the miss that would have taken the datagram, at its close or
        before its last connect(); exact at its close first, then the latest closed."""
        found: list[tuple[bool, int, Nearest]] = []
        place = (miss.netns, miss.datagram.dport)
        for record in self._table.closed_on_port(*place, miss.time, miss.netns_cookie):
            if record.closed is None or not takes_part(record.view, miss.datagram):
                continue
            mismatch = self._refusals(record.view, miss)
            if not mismatch or _took_before_connect(record, miss):
                item = Nearest(record.view, mismatch)
                found.append((not mismatch, record.closed.time, item))
        return max(found, key=lambda item: item[:2])[2] if found else None

    def _closed_hint(
        self, closed: Nearest | None, miss: Miss, describer: Describer
    ) -> tuple[str, ...]:
        """Beside a socket that refused: one that would have taken it was there until lately."""
        if closed is None:
            return ()
        socket = describer.socket(closed.socket, miss.time)
        who = label(socket.processes)
        return (f"{who} held {socket.local} and would have taken it, but closed it before",)

    # No socket

    def _no_socket(
        self,
        miss: Miss,
        on_port: list[SocketView],
        describer: Describer,
        traced_since: int | None,
    ) -> Verdict:
        hints = [*self._elsewhere(miss, describer), *_other_family(miss, on_port)]
        if traced_since is not None and miss.time - traced_since < self._window:
            watched = max(0, miss.time - traced_since) // NS
            hints.append(f"closes are known since the trace began, {watched} s before")
        return Verdict(Cause.NO_SOCKET, hints=tuple(hints))

    def _name(self, info: NetnsInfo) -> str:
        containers = self._namespaces.containers(info.inum, info.cookie)
        return netns_words(Netns(info.inum, info.cookie, info.name, containers))

    def _elsewhere(self, miss: Miss, describer: Describer) -> list[str]:
        """Sockets of other namespaces that hold the address and would have taken the datagram."""
        datagram = miss.datagram
        connected = self._table.connected_from(datagram.dst, datagram.dport, miss.time)
        records = self._table.unconnected(datagram.dport, miss.time) + connected
        hints = []
        for record in records:
            view = record.view
            elsewhere = view.netns != miss.netns and record.closed is None
            if elsewhere and self._holds(view, datagram.dst) and _takes(view, miss):
                socket = describer.socket(view, miss.time)
                where = netns_words(socket.netns)
                hints.append(
                    f"{label(socket.processes)} on {socket.local} in {where} would have taken it: "
                    f"that namespace has {datagram.dst} too"
                )
        return hints[:_ELSEWHERE]

    def _holds(self, view: SocketView, address: str) -> bool:
        if not is_any(view.local):
            return True
        return self._namespaces.holds(view.netns, address, view.netns_cookie)


def _takes(view: SocketView, miss: Miss) -> bool:
    datagram = miss.datagram
    if view.lport != datagram.dport or not takes_part(view, datagram):
        return False
    return not failing_checks(view, datagram, l3mdev_accept=miss.l3mdev_accept)


def _cut_short(miss: Miss) -> tuple[str, ...]:
    """Why a lookup looked for the datagram's address only, and never for the wildcard
    (net/ipv4/udp.c:__udp4_lib_lookup)."""
    if not miss.proven or miss.passes != 1:
        return ()
    return ("the lookup ended early, as it does when a BPF sk_lookup program refuses a datagram",)


def _with_peer(call: Call) -> SocketView:
    """The connected side of a connect() or of its undoing: what tells whose connect() it is."""
    return call.after if call.op == "connect" else call.before


def _exact(closed: Nearest | None) -> bool:
    return closed is not None and not closed.mismatch


def _took_before_connect(record: SocketRecord, miss: Miss) -> bool:
    """Whether the socket took such datagrams until a connect()."""
    return any(_takes(call.before, miss) for call in record.connects)


def _would_have_refused(closed: Nearest) -> tuple[str, ...]:
    """What a reader who reopens the closed socket would run into next."""
    if not closed.mismatch:
        return ()
    fields = {check.field: check.socket for check in closed.mismatch}
    how = " by its connect()" if is_connected(closed.socket) else ""
    if Cause.LOCAL_ADDRESS in fields:
        return (f"even open it would have refused: tied to {fields[Cause.LOCAL_ADDRESS]}{how}",)
    peer = endpoint(closed.socket.peer, closed.socket.pport)
    return (f"even open it would have refused: it takes datagrams from {peer} only{how}",)


def _other_family(miss: Miss, on_port: list[SocketView]) -> list[str]:
    """IPv4 sockets on the port of an IPv6 datagram: there, but no use to it."""
    fours = [view for view in on_port if not takes_part(view, miss.datagram)]
    if not fours:
        return []
    ends = endpoint(fours[0].local, fours[0].lport)
    return [f"the IPv4 socket {ends} cannot take IPv6"]
