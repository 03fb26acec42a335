"""The columns of `udptrace sockets`: what each shows of a socket, safe to print, and sorts by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracer.addresses import ANY6, is_any
from tracer.render.escape import KEEP, line, name
from tracer.render.phrases import namespace, process
from tracer.sockets.accepts import BEFORE, STATES, from_whom, reach
from tracer.sockets.detail import Memory
from tracer.sockets.model import Joined, Listed, Need
from tracer.summary import many

UNKNOWN = "?"
"""What stands for anything that could not be found out."""

NONE = "-"

_FEW = 3
"""Of holders, groups and addresses those that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the text of a cell, and what it is sorted by, ``text`` unless told.

    ``largest_first`` of numbers where much is worse. ``needs``: what must be looked up for it.
    docs/sockets.md says what each means.
    """

    text: Callable[[Listed], str]
    key: Callable[[Listed], Any] | None = None
    largest_first: bool = False
    needs: Need = Need.NONE


def _few(words: Sequence[str], none: str = NONE) -> str:
    more = f" and {len(words) - _FEW} more" if len(words) > _FEW else ""
    return ", ".join(words[:_FEW]) + more or none


def _known(value: object) -> str:
    return UNKNOWN if value is None else str(value)


def _yes(value: bool | None) -> str:
    return UNKNOWN if value is None else "yes" if value else "no"


def _plain(text: str) -> str:
    return text.replace(KEEP, " ")


def _processes(listed: Listed) -> str:
    """``nc[3467] fd 3``; nobody found is not nobody, but for the kernel's own."""
    if listed.kernel:
        return "the kernel"
    words = [f"{_plain(process(p))} fd {p.fd}" for p in listed.processes]
    return _few(words, UNKNOWN)


def _device(listed: Listed) -> str:
    if listed.device is None:
        return NONE if listed.place.device_told else UNKNOWN
    return name(listed.device)


def _netns(listed: Listed) -> str:
    return _plain(namespace(listed.netns)).removeprefix("netns ")


def _containers(listed: Listed) -> str:
    inside = [p.container for p in listed.processes if p.container is not None]
    every = inside or listed.netns.workload
    return _few([name(label) for label in dict.fromkeys(c.label for c in every)])


def _group(group: Joined) -> str:
    sources = " (named sources only)" if group.named_sources else ""
    return f"{group.address} on {name(group.device)}{sources}"


def _groups(listed: Listed) -> str:
    if listed.groups is None:
        return UNKNOWN
    more = " and more" if listed.more_groups else ""
    return _few([_group(group) for group in listed.groups]) + more


def _accepts(listed: Listed) -> str:
    groups = f"; group {_groups(listed)}" if listed.groups else ""
    return line(from_whom(listed)) + groups


def _addresses(listed: Listed) -> str:
    """On which addresses: of a wildcard those that its namespace has now."""
    view = listed.view
    if not is_any(view.local):
        return line(view.local)
    # An IPv6 wildcard takes IPv4 too, unless it is known that it does not.
    four = view.local != ANY6 or not view.v6only
    six = view.local == ANY6
    fit = [line(a) for a in listed.place.addresses if (six if ":" in a else four)]
    return f"all: {_few(fit, 'none now')}"


def _reuseport(listed: Listed) -> str:
    if listed.shares_port is None:
        return UNKNOWN
    if listed.reuseport is None:
        return "alone" if listed.shares_port else NONE
    return f"group {listed.reuseport.number}, {many(listed.reuseport.members, 'socket')}"


def _skmem(listed: Listed) -> str:
    """As `ss -m` has it."""
    m = listed.detail.memory
    if m is None:
        return UNKNOWN
    values = (
        ("r", m.rmem_alloc),
        ("rb", m.rcvbuf),
        ("t", m.wmem_alloc),
        ("tb", m.sndbuf),
        ("f", m.fwd_alloc),
        ("w", m.wmem_queued),
        ("o", m.optmem),
        ("bl", m.backlog),
        ("d", listed.detail.drops),
    )
    return ",".join(f"{letter}{_known(value)}" for letter, value in values)


def _limit(read: Callable[[Memory], int]) -> Column:
    """A column of a number of a socket's memory."""
    return Column(
        lambda s: UNKNOWN if s.detail.memory is None else str(read(s.detail.memory)),
        lambda s: -1 if s.detail.memory is None else read(s.detail.memory),
        needs=Need.MEMORY,
    )


def _local_key(listed: Listed) -> tuple[Any, ...]:
    view = listed.detail.view
    ends = (listed.local, view.pport, listed.peer or "")
    return (listed.place.order, view.lport, view.family, *ends, view.inode)


COLUMNS: dict[str, Column] = {
    "state": Column(lambda s: s.state),
    "means": Column(lambda s: STATES[s.state]),
    "family": Column(lambda s: s.family),
    "local": Column(lambda s: line(s.local), _local_key),
    "peer": Column(lambda s: line(s.peer or NONE)),
    "port-origin": Column(lambda s: s.port_origin or UNKNOWN, needs=Need.FACTS),
    "accepts-from": Column(_accepts, needs=Need.FACTS),
    "before": Column(lambda s: BEFORE[reach(s)]),
    "addresses": Column(_addresses),
    "device": Column(_device),
    "groups": Column(_groups, needs=Need.FACTS),
    "v6only": Column(lambda s: NONE if s.family == "ipv4" else _yes(s.v6only)),
    "rx": Column(lambda s: str(s.detail.rx), lambda s: s.detail.rx, True),
    "tx": Column(lambda s: str(s.detail.tx), lambda s: s.detail.tx, True),
    "drops": Column(
        lambda s: _known(s.detail.drops),
        lambda s: -1 if s.detail.drops is None else s.detail.drops,
        largest_first=True,
        needs=Need.MEMORY,
    ),
    "rcvbuf": _limit(lambda m: m.rcvbuf),
    "sndbuf": _limit(lambda m: m.sndbuf),
    "skmem": Column(_skmem, needs=Need.MEMORY),
    "uid": Column(lambda s: _known(s.view.uid), lambda s: s.view.uid or 0),
    "inode": Column(lambda s: _known(s.view.inode or None), lambda s: s.view.inode),
    "cookie": Column(lambda s: _known(s.cookie or None), lambda s: s.cookie, needs=Need.FACTS),
    "reuseport": Column(_reuseport, needs=Need.FACTS),
    "netns": Column(_netns, needs=Need.CONTAINERS),
    "container": Column(_containers, needs=Need.CONTAINERS | Need.OWNERS),
    "processes": Column(_processes, needs=Need.OWNERS | Need.FACTS),
}
"""By their names on the command line; only ever added to."""

DEFAULT = ("state", "local", "port-origin", "accepts-from", "rx", "drops", "netns", "processes")
EXPOSED = ("port-origin", "local", "addresses", "accepts-from", "before", "netns", "processes")


def in_order(sockets: Sequence[Listed], by: str | None) -> list[Listed]:
    """Sorted by a column; without one by namespace and port. Equal ones stay in that order."""
    ordered = sorted(sockets, key=_local_key)
    if by is None:
        return ordered
    column = COLUMNS[by]
    key = column.key or column.text
    return sorted(ordered, key=key, reverse=column.largest_first)
