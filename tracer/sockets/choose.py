"""Which sockets of a listing are wanted: the filters of `udptrace sockets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tracer.select import Selection, is_within
from tracer.sockets.accepts import is_exposed
from tracer.sockets.model import Listed

State = Literal["UNCONN", "ESTAB"]
PortOrigin = Literal["bound", "kernel-chosen"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The filters: all that are set must hold. ``selection``: ports, hosts, processes, families."""

    selection: Selection
    state: State | None = None
    port_origin: PortOrigin | None = None
    exposed: bool = False

    def wants(self, listed: Listed) -> bool:
        """Whether they let a socket through; what is not known passes for nothing."""
        socket, view, chosen = listed.socket, listed.view, self.selection
        ports = (view.lport, view.pport)
        ends = [view.local, *([view.peer] if socket.peer is not None else [])]
        return (
            (self.state is None or socket.state == self.state)
            and (self.port_origin is None or socket.port_origin == self.port_origin)
            and (not self.exposed or is_exposed(listed))
            and (not chosen.families or socket.family in chosen.families)
            and (not chosen.ports or not set(ports).isdisjoint(chosen.ports))
            and (not chosen.hosts or any(is_within(end, chosen.hosts) for end in ends))
            and (not chosen.processes or any(map(chosen.names, socket.processes)))
        )


def chosen(sockets: Iterable[Listed], choice: Choice) -> Iterator[Listed]:
    """Those that the filters let through, in their order."""
    return filter(choice.wants, sockets)
