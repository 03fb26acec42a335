"""Incidents as CSV: a header row, a row an incident, fixed columns (docs/export.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tracer.addresses import endpoint
from tracer.advice import explain
from tracer.export.cells import cell, row
from tracer.incident import Incident
from tracer.parts import Netns, Process, Socket
from tracer.timefmt import utc_text


def _time(utc: int | None) -> str:
    return "" if utc is None else utc_text(utc)


def _first(socket: Socket | None) -> Process | None:
    return socket.processes[0] if socket is not None and socket.processes else None


def _comm(socket: Socket | None) -> str:
    process = _first(socket)
    return process.comm if process else ""


def _pid(socket: Socket | None) -> str:
    process = _first(socket)
    return str(process.pid) if process else ""


def _container(socket: Socket | None) -> str:
    """The process's container, else that of the socket's namespace."""
    process = _first(socket)
    if process is not None and process.container is not None:
        return process.container.label
    return _inside(socket.netns) if socket is not None else ""


def _inside(netns: Netns) -> str:
    return " ".join(container.label for container in netns.workload)


def _ends(socket: Socket | None) -> tuple[str, str]:
    return ("", "") if socket is None else (socket.local, socket.peer or "")


COLUMNS: dict[str, Callable[[Incident], object]] = {
    "id": lambda i: i.id,
    "host": lambda i: i.host,
    "time": lambda i: _time(i.time),
    "last_time": lambda i: _time(i.last_time),
    "count": lambda i: i.count,
    "cause": lambda i: i.cause.value,
    "certain": lambda i: "yes" if i.certain else "no",
    "source": lambda i: endpoint(i.datagram.src, i.datagram.sport),
    "destination": lambda i: endpoint(i.datagram.dst, i.datagram.dport),
    "source_before_nat": lambda i: i.nat and endpoint(i.nat.src, i.nat.sport),
    "destination_before_nat": lambda i: i.nat and endpoint(i.nat.dst, i.nat.dport),
    "interface": lambda i: i.datagram.ifname,
    "netns": lambda i: i.netns.name,
    "netns_inum": lambda i: i.netns.inum,
    "netns_containers": lambda i: _inside(i.netns),
    "icmp": lambda i: i.icmp.name,
    "icmp_status": lambda i: i.icmp.status,
    "icmp_from": lambda i: i.icmp.sender,
    "socket_process": lambda i: _comm(i.socket),
    "socket_pid": lambda i: _pid(i.socket),
    "socket_container": lambda i: _container(i.socket),
    "socket_local": lambda i: _ends(i.socket)[0],
    "socket_peer": lambda i: _ends(i.socket)[1],
    "sender_process": lambda i: _comm(i.origin),
    "sender_pid": lambda i: _pid(i.origin),
    "sender_container": lambda i: _container(i.origin),
    "sender_netns": lambda i: i.origin and i.origin.netns.name,
    "told": lambda i: " ".join(dict.fromkeys(told.error for told in i.told)),
    "untold": lambda i: i.untold,
    "why": explain,
    "advice": lambda i: "; ".join(i.advice),
    "caveats": lambda i: "; ".join(i.caveats),
}
"""Each column and what is in it; only ever added to, at the end."""


def csv_rows(incidents: Iterable[Incident]) -> Iterator[str]:
    """The rows, quoted as RFC 4180 has it, each ended by CR LF."""
    yield row(COLUMNS)
    for incident in incidents:
        yield row(cell(value(incident)) for value in COLUMNS.values())
