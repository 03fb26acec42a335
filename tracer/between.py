"""What lies between the sender and the receiver, in words: translations, relays."""

from __future__ import annotations

from tracer.addresses import endpoint, is_loopback
from tracer.causes import Cause
from tracer.describe import Describer, forget_flows, label, netns_words
from tracer.events import Translation
from tracer.incident import Incident
from tracer.lru import Lru
from tracer.socktable import SocketRecord, SocketTable

# What docker's userland proxy calls itself. It is comm, which any program can set.
_RELAYS = ("docker-proxy",)


class Between:
    """Remembers which destinations are translated, at most ``limit`` of them."""

    def __init__(self, table: SocketTable, limit: int) -> None:
        self._table = table
        self._published: Lru[tuple[int, str, int], Translation] = Lru(limit)
        """By namespace, address and port."""

    def learn(self, event: Translation) -> None:
        """Take in a translation that was looked up."""
        to, now = event.before, event.datagram
        if event.direction == "original" and (to.dst, to.dport) != (now.dst, now.dport):
            self._published.put((event.netns, to.dst, to.dport), event)

    def hints(
        self, incident: Incident, nat: Translation | None, describer: Describer
    ) -> tuple[str, ...]:
        """What the reader of an incident should know. ``nat``: what was looked up for it."""
        hints = [*_changed(incident), *self._relayed(incident)]
        if incident.cause is Cause.NO_SOCKET and incident.nat is None and nat is not None:
            hints += self._passed_by(incident, nat, describer)
        return tuple(hints)

    # A relay sends what others have sent to it

    def _relayed(self, incident: Incident) -> list[str]:
        relays = incident.origin.processes if incident.origin else ()
        relay = next((process for process in relays if process.comm in _RELAYS), None)
        if relay is None:
            return []
        fronts = {_ends(record) for record in self._table.bound_by(relay.pid)}
        clients = f"clients of {', '.join(sorted(fronts))}" if fronts else "clients not known here"
        return [
            f"the sender calls itself {relay.comm}: a relay for {clients}, who are told nothing"
        ]

    # A translation that this flow does without

    def _passed_by(self, incident: Incident, nat: Translation, describer: Describer) -> list[str]:
        """Connection tracking decides with a flow's first packet whether it is translated."""
        d = incident.datagram
        if nat.direction != "original":
            return []
        asked, where = endpoint(d.dst, d.dport), incident.netns
        forget = forget_flows(where, d.family, d.dst, d.dport)
        known = self._published.get((nat.netns, d.dst, d.dport))
        if known is not None:
            to = endpoint(known.datagram.dst, known.datagram.dport)
            return [
                f"others' datagrams to {asked} are translated to {to} in "
                f"{netns_words(where)}, this flow's are not: if it began before "
                f"the rule was there, {forget} has it begin anew"
            ]
        for record in self._table.unconnected(d.dport, incident.mono_ns):
            if record.view.netns != where.inum and _serves(record):
                socket = describer.socket(record.view, incident.mono_ns)
                return [
                    f"if {label(socket.processes)} on {socket.local} in "
                    f"{netns_words(socket.netns)} was meant and its port "
                    f"was published after this flow began, the flow goes on untranslated until "
                    f"{forget}"
                ]
        return []


def _changed(incident: Incident) -> list[str]:
    """A translation changed the very field that the socket refused."""
    nat = incident.nat
    if nat is None:
        return []
    sent = {
        Cause.REMOTE_ADDRESS: nat.src,
        Cause.REMOTE_PORT: str(nat.sport),
        Cause.LOCAL_ADDRESS: nat.dst,
    }
    changed = [c for c in incident.mismatch if sent.get(c.field) == c.socket != c.datagram]
    if not changed:
        return []
    where = netns_words(nat.netns)
    fields = " and ".join(check.field.value for check in changed)
    return [f"as it was sent its {fields} would have been right: NAT in {where} changed it"]


def _serves(record: SocketRecord) -> bool:
    """Whether a socket can be what a published port leads to."""
    view = record.view
    return record.closed is None and view.port_lock is not False and not is_loopback(view.local)


def _ends(record: SocketRecord) -> str:
    return endpoint(record.view.local, record.view.lport)
