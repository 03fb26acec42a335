"""Incidents as a pcapng file: what missed and the ICMP about it, the verdict as their comment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tracer import __version__
from tracer.advice import explain
from tracer.causes import Cause
from tracer.events import Header
from tracer.export import pcapng
from tracer.export.packets import NoPacket, Packet, datagram_packet, icmp_packet
from tracer.incident import Incident
from tracer.render import phrases
from tracer.render.escape import line, name
from tracer.render.report_parts import moment_text
from tracer.summary import many

_RECONSTRUCTED = "reconstructed from the recorded headers"

# Of an ICMP that is not in the file.
_NO_ICMP = {
    "rate-limited": "no ICMP left: a rate limit stopped it",
    "suppressed": "no ICMP left: no route back, or its socket was busy",
    "attempted": "whether its ICMP left is not known",
}

_LAST_TIME = (1 << 64) - 1


@dataclass(slots=True)
class Capture:
    """Makes the file; ``left_out`` counts incidents that make no packet."""

    left_out: int = 0

    def pieces(self, header: Header, incidents: Iterable[Incident]) -> Iterator[bytes]:
        """The file's blocks, an interface before its first packet."""
        host, system = name(header.host), f"Linux {name(header.kernel)}"
        comment = f"incidents on {host}, {system}; of each the first miss, and the ICMP about it"
        yield pcapng.section(f"udptrace {__version__}", comment)
        numbers: dict[tuple[int, int, str], int] = {}
        for incident in incidents:
            try:
                packets = list(_packets(incident))
            except NoPacket:
                self.left_out += 1
                continue
            netns, device = incident.netns, incident.datagram.ifname
            place = (netns.inum, netns.cookie, device)
            if place not in numbers:
                numbers[place] = len(numbers)
                yield pcapng.interface(*_interface(incident, host), system)
            time = incident.time or 0
            for packet, comments, way in packets:
                yield pcapng.packet(numbers[place], time, packet, comments, way)


def _packets(incident: Incident) -> Iterator[tuple[Packet, list[str], pcapng.Direction]]:
    """The datagram and its ICMP, with their comments. Raises NoPacket."""
    if incident.time is None or not 0 <= incident.time <= _LAST_TIME:
        raise NoPacket("no time")
    elsewhere = incident.cause is Cause.REMOTE
    no_icmp = _NO_ICMP.get(incident.icmp.status)
    packet = datagram_packet(incident.datagram, incident.packet)
    notes = [_how(packet)]
    if elsewhere:
        notes.append("sent some time before; the time is that of the ICMP that came in")
    comments = [_verdict(incident, no_icmp), *notes]
    yield packet, comments, "out" if elsewhere else "in"
    if no_icmp is None:
        told = [phrases.told(told, incident).replace("\u00a0", " ") for told in incident.told]
        about = [f"ICMP about incident {line(incident.id)}: {_headline(incident)}"]
        about += [f"told: {text}" for text in told]
        packet = icmp_packet(incident.datagram, incident.icmp, incident.packet)
        yield packet, ["\n".join(about), _how(packet)], "in" if elsewhere else "out"


def _how(packet: Packet) -> str:
    """Where the bytes of a packet are from."""
    if not packet.recorded:
        return f"udptrace: {_RECONSTRUCTED}"
    missing = packet.length - len(packet.data)
    more = f"; {many(missing, 'byte')} more were not kept (--snaplen)" if missing else ""
    return f"udptrace: as it was seen{more}"


def _interface(incident: Incident, host: str) -> tuple[str, str]:
    """The name and the description of the interface a datagram came in by."""
    netns = incident.netns
    where = name(netns.name) if netns.name else str(netns.inum)
    device = name(incident.datagram.ifname) if incident.datagram.ifname else "unknown"
    text = f"{phrases.namespace(netns)} on {host} (inode {netns.inum}), device {device}"
    return f"{where}/{device}", text.replace("\u00a0", " ")


def _headline(incident: Incident) -> str:
    doubt = "" if incident.certain else "?"
    return f"{incident.cause.value}{doubt}: {phrases.sentence(explain(incident))}"


def _verdict(incident: Incident, no_icmp: str | None) -> str:
    """The incident in a few lines of text made safe."""
    lines = [_headline(incident), f"incident {line(incident.id)}"]
    where = phrases.namespace(incident.netns)
    if incident.socket is not None:
        socket = incident.socket
        lines.append(f"socket: {phrases.holders(socket, fd=True)}  {phrases.ends(socket)}, {where}")
    else:
        lines.append(where)
    if incident.origin is not None:
        of = phrases.namespace(incident.origin.netns)
        lines.append(f"sent by: {phrases.holders(incident.origin, fd=True)}, {of}")
    if incident.count > 1:
        times = many(incident.count, "time")
        lines.append(f"missed {times}, the last at {moment_text(incident.last_time)}; shown once")
    if no_icmp:
        lines.append(no_icmp)
    lines += [f"note: {phrases.sentence(caveat)}" for caveat in incident.caveats]
    lines += [f"do: {phrases.sentence(advice)}" for advice in incident.advice]
    return "\n".join(lines).replace("\u00a0", " ")
