"""How a network namespace is read: from inside where it may be entered, else from outside.

From inside netlink tells everything; a namespace that is not our own needs CAP_SYS_ADMIN for that.
From outside there is /proc/PID/net of a process in it. Who asks does not care which it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from tracer.system import links, procnet, snmp
from tracer.system.netns import Forbidden, Netns, in_netns, netns_cookie, netns_inum
from tracer.system.sockets import Dump, proc_sockets, udp_sockets

T = TypeVar("T")

NOT_ENTERED = "no permission to enter"
"""Why udp_diag was not used from outside."""


class View(Protocol):
    """A namespace as it is seen through its door. Each method raises OSError."""

    def cookie(self) -> int:
        """Its cookie; 0 where it is not told."""

    def addresses(self) -> tuple[str, ...]:
        """Every local address, once."""

    def links(self) -> tuple[tuple[int, str], ...]:
        """(ifindex, name) of the interfaces."""

    def sockets(self, inum: int, cookie: int, *, memory: bool = True) -> Dump:
        """Every UDP socket with a port; the namespace's identity is passed in.

        ``memory``: with its buffers and drops, where they are told.
        """

    def counters(self) -> snmp.Values:
        """The kernel's counters (`tracer.system.snmp.WANTED`)."""

    def run(self, function: Callable[[], T]) -> T | None:
        """The result of a function that must run in the namespace; None where that cannot be."""


class Inside:
    """The namespace that the thread is in."""

    def cookie(self) -> int:
        """As the kernel tells it."""
        return netns_cookie()

    def addresses(self) -> tuple[str, ...]:
        """From rtnetlink."""
        return links.local_addresses()

    def links(self) -> tuple[tuple[int, str], ...]:
        """From rtnetlink: all of them."""
        return links.links()

    def sockets(self, inum: int, cookie: int, *, memory: bool = True) -> Dump:
        """From udp_diag, or /proc/net/udp without it."""
        return udp_sockets(inum, cookie, memory=memory)

    def counters(self) -> snmp.Values:
        """From /proc/net/snmp."""
        return snmp.read_counters()

    def run(self, function: Callable[[], T]) -> T | None:
        """Here it can."""
        return function()


class Outside:
    """A namespace by the /proc/PID/net of a process that is in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def cookie(self) -> int:
        """Not told."""
        return 0

    def addresses(self) -> tuple[str, ...]:
        """From fib_trie and if_inet6."""
        return procnet.local_addresses(self._directory)

    def links(self) -> tuple[tuple[int, str], ...]:
        """Those that IP or multicast use."""
        return procnet.links(self._directory)

    def sockets(self, inum: int, cookie: int, *, memory: bool = True) -> Dump:
        """From its udp and udp6, which tell the drops."""
        found = proc_sockets(self._directory, inum, cookie)
        return Dump(tuple(found), "proc", NOT_ENTERED)

    def counters(self) -> snmp.Values:
        """From its snmp and snmp6."""
        return snmp.read_counters(self._directory)

    def run(self, function: Callable[[], T]) -> T | None:
        """Here it cannot."""
        return None


def look(netns: Netns, read: Callable[[View], T]) -> T:
    """The result of a function that is shown the namespace, in a thread or from here.

    Raises what the function raises, Forbidden where there is no way to see the namespace, and
    OSError when it is gone.
    """
    try:
        return in_netns(netns, lambda: read(Inside()))
    except Forbidden:
        if netns.pid is None:
            raise
    result = read(Outside(Path(f"/proc/{netns.pid}/net")))
    # Looked at afterwards, so that all that was read was of the process that was meant.
    if netns_inum(f"/proc/{netns.pid}/ns/net") != netns.inum:
        raise FileNotFoundError(2, "the network namespace is gone")
    return result
