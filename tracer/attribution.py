"""Which miss an error is about, where two namespaces have the same addresses and ports."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.episode import Episode
from tracer.events import SocketView
from tracer.namespaces import same_netns


def possible_misses(told: SocketView, episodes: Iterable[Episode]) -> list[Episode]:
    """Of misses of the same four-tuple, those the socket told can have caused.

    A datagram that ran over loopback has not left the namespace of its sender. A miss of which this
    socket was told before stays with it, and one of which another socket was told is that one's.
    """
    possible = [episode for episode in episodes if not _stayed_elsewhere(told, episode)]
    if len({episode.miss.netns for episode in possible}) < 2:
        return possible
    own = [episode for episode in possible if _identity(told) in _told(episode)]
    return own or [episode for episode in possible if not episode.told] or possible


def is_ambiguous(possible: Iterable[Episode]) -> bool:
    """Whether nothing tells which of these misses an error is about: several namespaces missed the
    same four-tuple, and several sockets can have sent it."""
    possible = list(possible)
    several = any(episode.origin.caveat for episode in possible)
    return several and len({episode.miss.netns for episode in possible}) > 1


def _stayed_elsewhere(told: SocketView, episode: Episode) -> bool:
    miss = episode.miss
    here = miss.netns == told.netns and same_netns(miss.netns_cookie, told.netns_cookie)
    return not here and miss.datagram.ifname in ("lo", "")


def _told(episode: Episode) -> set[tuple[int, int | str]]:
    return {_identity(error.socket) for error in episode.told.values()}


def _identity(view: SocketView) -> tuple[int, int | str]:
    return (view.netns, view.inode or view.sock)
