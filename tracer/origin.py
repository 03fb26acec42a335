"""Who sent a datagram: the local socket it came from, in whichever namespace that is."""

from __future__ import annotations

from tracer.addresses import is_any, unmapped
from tracer.counts import Flow
from tracer.events import Miss, SocketView
from tracer.frozen import frozen
from tracer.namespaces import Namespaces, same_netns
from tracer.socktable import Ends, SocketRecord, SocketTable
from tracer.timefmt import NS

# A sender that was closed this long before its datagram missed may still have sent it: queues and
# a busy receiver lie between.
_SENT_BEFORE_CLOSE_NS = NS


@frozen
class Origin:
    """The sender as it was at the miss, or the reason why none can be named."""

    socket: SocketView | None
    caveat: str | None = None


class OriginFinder:
    """Looks for the sender among the sockets known."""

    def __init__(self, table: SocketTable, namespaces: Namespaces) -> None:
        self._table = table
        self._namespaces = namespaces

    def find(self, miss: Miss, sent: Flow, *, within: bool = False) -> Origin:
        """The sender by the four-tuple its datagram was sent with, else by its local end;
        ambiguous ones are not named.

        ``within``: it is known to be in the miss's own namespace.
        """
        for records in self._tiers(miss, sent):
            # Elsewhere the same address and port can exist once more.
            if within or _has_not_left(miss):
                records = [r for r in records if _in_netns_of(miss, r.view)]
            chosen = _alive(records, miss.time) or _last_closed(records)
            if len(chosen) == 1:
                return Origin(chosen[0].view)
            if chosen:
                return Origin(None, _ambiguous(chosen))
        return Origin(None)

    def _tiers(self, miss: Miss, sent: Flow) -> list[list[SocketRecord]]:
        """Possible senders, best evidence first."""
        src, sport, alive = sent.src, sent.sport, miss.time - _SENT_BEFORE_CLOSE_NS
        exact = self._table.connected(Ends(*sent), alive)
        unconnected = [r for r in self._table.unconnected(sport, alive) if self._sends(r, src)]
        # sendto() on a connected socket may name any other destination.
        others = self._table.connected_from(src, sport, alive)
        return [exact, unconnected, others]

    def _sends(self, record: SocketRecord, src: str) -> bool:
        """Whether an unconnected socket can send from an address."""
        view = record.view
        if not is_any(view.local):
            return unmapped(view.local) == src
        return self._namespaces.holds(view.netns, src, view.netns_cookie)


def _in_netns_of(miss: Miss, view: SocketView) -> bool:
    return view.netns == miss.netns and same_netns(view.netns_cookie, miss.netns_cookie)


def _has_not_left(miss: Miss) -> bool:
    """Whether the datagram was sent in the namespace it missed in.

    It runs over loopback; its interface is told by the route alone, which a datagram to an own
    address has; or it has none yet, being rejected on its way out. What is forwarded and rejected
    has an interface without a name too: the device at hand is by then the one it was to leave by.
    """
    datagram = miss.datagram
    if datagram.ifname:
        return datagram.ifname == "lo"
    return miss.proven or not datagram.ifindex


def _alive(records: list[SocketRecord], when: int) -> list[SocketRecord]:
    return [r for r in records if r.closed is None or r.closed.time >= when]


def _last_closed(records: list[SocketRecord]) -> list[SocketRecord]:
    """Of sockets closed just before, one after the other on the same port, the last."""
    if len({record.view.netns for record in records}) != 1:
        return records
    return [max(records, key=lambda r: r.closed.time if r.closed else 0)]


def _ambiguous(records: list[SocketRecord]) -> str:
    namespaces = len({r.view.netns for r in records})
    where = f" in {namespaces} network namespaces" if namespaces > 1 else ""
    return f"{len(records)} sockets{where} could have sent it: none is named"
