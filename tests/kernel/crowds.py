"""Hundreds of sockets on one port, made quickly: a namespace is entered once for all of them."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.kernel.net import Namespace
from tracer.system.netns import Netns, in_netns

Address = tuple[str, int]


@contextmanager
def crowd(
    namespace: Namespace,
    local: Address,
    peers: Iterable[Address | None],
    option: int = socket.SO_REUSEADDR,
) -> Iterator[list[socket.socket]]:
    """A socket for each peer on one local end, connected in turn; None leaves one unconnected."""
    peers = list(peers)
    _allow_files(2 * len(peers))
    with ExitStack() as opened:
        yield _inside(namespace, lambda: [_one(opened, local, peer, option) for peer in peers])


def _one(opened: ExitStack, local: Address, peer: Address | None, option: int) -> socket.socket:
    sock = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind(local)
    if peer is not None:
        sock.connect(peer)
    return sock


def _inside(
    namespace: Namespace, function: Callable[[], list[socket.socket]]
) -> list[socket.socket]:
    path = f"/run/netns/{namespace.name}"
    return in_netns(Netns(namespace.inum, namespace.name, path), function)


def _allow_files(more: int) -> None:
    """Descriptors for a crowd; the limit of a shell is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 + more
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
