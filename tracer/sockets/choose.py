"""Which sockets of a listing are wanted: the filters of `udptrace sockets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tracer.match import is_connected
from tracer.select import Selection, is_within
from tracer.sockets.accepts import is_exposed
from tracer.sockets.model import Listed, Need

State = Literal["UNCONN", "ESTAB"]
PortOrigin = Literal["bound", "kernel-chosen"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The filters: all that are set must hold. ``selection``: ports, hosts, processes, families."""

    selection: Selection
    state: State | None = None
    port_origin: PortOrigin | None = None
    exposed: bool = False

    @property
    def chooses(self) -> bool:
        """Whether any filter is set."""
        return self != Choice(Selection())

    @property
    def needs(self) -> Need:
        """What must be known of a socket to tell."""
        origin = Need.FACTS if self.port_origin is not None else Need.NONE
        return origin | (Need.OWNERS if self.selection.processes else Need.NONE)

    def wants(self, listed: Listed) -> bool:
        """Whether they let a socket through; what is not known passes for nothing."""
        view, chosen = listed.view, self.selection
        ports = (view.lport, view.pport)
        ends = [view.local, *([view.peer] if is_connected(view) else [])]
        return (
            (self.state is None or listed.state == self.state)
            and (self.port_origin is None or listed.port_origin == self.port_origin)
            and (not self.exposed or is_exposed(listed))
            and (not chosen.families or listed.family in chosen.families)
            and (not chosen.ports or not set(ports).isdisjoint(chosen.ports))
            and (not chosen.hosts or any(is_within(end, chosen.hosts) for end in ends))
            and (not chosen.processes or any(map(chosen.names, listed.processes)))
        )


def chosen(sockets: Iterable[Listed], choice: Choice) -> Iterator[Listed]:
    """Those that the filters let through, in their order."""
    return filter(choice.wants, sockets) if choice.chooses else iter(sockets)
