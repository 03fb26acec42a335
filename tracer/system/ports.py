"""The sockets on one port of one network namespace, read now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tracer.events import SocketView
from tracer.system.netns import find_netns, in_netns, netns_cookie
from tracer.system.sockets import read_port

_GONE = "the network namespace is gone"


def sockets_on_port(
    inum: int,
    cookie: int,
    port: int,
    hint_pids: Iterable[int],
    take: Callable[[SocketView], None],
) -> str | None:
    """Hand each UDP socket on a port of a namespace to ``take``; never raises OSError.

    ``cookie`` is the namespace's, 0 where it is not known: another one under the same number is not
    asked. Returns None, or why what was handed over is not all.
    """

    def read() -> str | None:
        here = netns_cookie()
        if cookie and here and here != cookie:
            return _GONE
        try:
            changed = read_port(port, inum, here, take)
        except OSError as error:
            return f"udp_diag: {error.strerror or error}"
        return "the sockets changed while they were read" if changed else None

    try:
        found = find_netns(inum, hint_pids)
        return _GONE if found is None else in_netns(found, read)
    except FileNotFoundError:
        return _GONE
    except OSError as error:
        return f"its network namespace: {error.strerror or error}"
