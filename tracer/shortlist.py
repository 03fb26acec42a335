"""The sockets nearest to a datagram out of any number, chosen while they are read; bounded."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.events import Datagram, SocketView
from tracer.match import Distance, Nearest, distance, measure, takes_part


class Shortlist:
    """Offered every socket of a port, keeps the ``limit`` that come first in the ranking.

    Those that take no part in the datagram's lookup come after all others. ``known`` are inodes of
    sockets that are not wanted; a socket that is offered twice, the same, is kept once.
    ``l3mdev_accept`` as in `Miss`.
    """

    def __init__(
        self,
        datagram: Datagram,
        limit: int,
        known: Iterable[int] = (),
        *,
        l3mdev_accept: bool = False,
    ) -> None:
        self._datagram = datagram
        self._l3mdev_accept = l3mdev_accept
        self._limit = limit
        self._known = frozenset(known) - {0}
        self._kept: dict[tuple[bool, Distance], SocketView] = {}

    def offer(self, view: SocketView) -> None:
        """Take in a socket that may be among them."""
        if view.inode in self._known:
            return
        self._kept[self._rank(view)] = view
        if len(self._kept) > 2 * self._limit:
            self._cut()

    def sockets(self) -> tuple[SocketView, ...]:
        """The sockets kept, the nearest first."""
        self._cut()
        return tuple(self._kept.values())

    def _rank(self, view: SocketView) -> tuple[bool, Distance]:
        part = takes_part(view, self._datagram)
        item = Nearest(view, ())
        if part:
            item = measure(view, self._datagram, l3mdev_accept=self._l3mdev_accept)
        return (not part, distance(item, self._datagram.family))

    def _cut(self) -> None:
        nearest = sorted(self._kept.items(), key=lambda item: item[0])
        self._kept = dict(nearest[: self._limit])
