"""What a socket is good for, in words: whom it takes datagrams from."""

from __future__ import annotations

from tracer.addresses import is_any, unmapped
from tracer.events import SocketView
from tracer.sockets.accepts import takes_from
from tracer.states.model import Ends


def meaning_of(view: SocketView, ends: Ends) -> str:
    """``takes datagrams to 10.0.0.9 from only 10.0.0.1:53``, ``takes datagrams from anyone``: of a
    socket as it is. A firewall before it is not looked at."""
    if not view.lport:
        return "takes nothing: it has no port"
    to = "" if is_any(view.local) else f" to {unmapped(view.local)}"
    return f"takes datagrams{to} from {takes_from(view, ends.device)}"
