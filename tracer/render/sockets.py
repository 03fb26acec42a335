"""A listing of sockets as a table, as JSON lines and as CSV (docs/sockets.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice

from tabulate import tabulate

from tracer.export.cells import cell, row
from tracer.incident import SCHEMA
from tracer.parts import Json
from tracer.render.escape import width
from tracer.render.json_line import json_line
from tracer.render.socket_columns import COLUMNS, NONE, UNKNOWN
from tracer.sockets.accepts import BEFORE, STATES, from_whom, is_exposed, reach
from tracer.sockets.model import Joined, Listed
from tracer.summary import many

_CSV_WORDS = {UNKNOWN: "", NONE: "none"}
"""In CSV what is not known is empty, and a dash would be taken for a formula."""

TABULATED = 1000
"""Rows that tabulate lays out; it needs seconds for 100,000."""


def table(sockets: Sequence[Listed], columns: Sequence[str]) -> Iterator[str]:
    """Whole lines: the heads, then a line a socket."""
    heads = [column.upper() for column in columns]
    texts = [COLUMNS[column].text for column in columns]
    rows = ([text(listed) for text in texts] for listed in sockets)
    first = [heads, *islice(rows, TABULATED)]
    if len(sockets) > TABULATED:
        yield from _fixed(first, rows)
    else:
        # Not as headers, which get wider columns than they need.
        text = tabulate(first, tablefmt="plain", disable_numparse=True)
        yield "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _fixed(first: list[list[str]], rest: Iterator[list[str]]) -> Iterator[str]:
    """All rows, some at a time, none kept, in columns as wide as the first need."""
    widths = [max(map(width, column)) for column in zip(*first, strict=True)]
    every = chain(first, rest)
    while some := list(islice(every, TABULATED)):
        yield "".join([_padded(cells, widths) for cells in some])


def _padded(cells: list[str], widths: list[int]) -> str:
    text = "  ".join(map(str.ljust, cells, widths))
    if not text.isascii():
        padded = [c + " " * (w - width(c)) for c, w in zip(cells, widths, strict=True)]
        text = "  ".join(padded)
    return text.rstrip() + "\n"


def meanings(sockets: Sequence[Listed], columns: Sequence[str]) -> Iterator[str]:
    """What a table's words mean, a line for each that is in it, with how many there are."""
    states: Counter[str] = Counter(listed.state for listed in sockets)
    yield f"\n{many(len(sockets), 'socket')}\n"
    lines = [(state, states[state], words) for state, words in STATES.items()]
    lines += _origins(sockets) if "port-origin" in columns else []
    for word, count, words in lines:
        if count:
            yield f"  {count:>5}  {word:<13}  {words}\n"


def _origins(sockets: Sequence[Listed]) -> list[tuple[str, int, str]]:
    origins = Counter(listed.port_origin for listed in sockets)
    return [
        ("bound", origins["bound"], "its port was named by bind()"),
        (
            "kernel-chosen",
            origins["kernel-chosen"],
            "its port was chosen by the kernel: in connect(), in a send, or in bind() to port 0",
        ),
        ("?", origins[None], "where its port came from is not known"),
    ]


def exposure(sockets: Sequence[Listed], every: Sequence[Listed]) -> Iterator[str]:
    """What stands before the sockets that are not in the table, and what was not looked at."""
    others = Counter(reach(listed) for listed in every if not is_exposed(listed))
    origins = Counter(listed.port_origin for listed in sockets)
    yield (
        f"\n{len(sockets)} of {many(len(every), 'socket')} reached by more than peer and own netns:"
        f" port bound {origins['bound']}, kernel-chosen {origins['kernel-chosen']},"
        f" not known {origins[None]}\n"
    )
    if others:
        kinds = ", ".join(f"{count} {BEFORE[kind]}" for kind, count in sorted(others.items()))
        yield f"not listed, for something stands before them: {kinds}\n"
    yield "firewall: not examined\n"
    members = sum(1 for listed in sockets if listed.groups)
    if members:
        yield (
            f"multicast: {many(members, 'socket')} joined a group; connect() does not protect a"
            " receiver of multicast: connected to the group it takes nothing, since each datagram"
            " comes from its sender's own address\n"
        )


def jsonl(sockets: Sequence[Listed]) -> Iterator[str]:
    """A `socket` line for each."""
    return (json_line(socket_json(listed)) for listed in sockets)


def socket_json(listed: Listed) -> Json:
    """The contract's socket at the top level, with what only a listing tells."""
    share, groups, detail, shown = listed.reuseport, listed.groups, listed.detail, listed.socket
    return {
        "kind": "socket",
        "schema": SCHEMA,
        **shown.to_json(),
        "means": STATES[listed.state],
        "accepts_from": from_whom(listed),
        "reach": reach(listed),
        "exposed": is_exposed(listed),
        "firewall": "not examined",
        "groups": None if groups is None else [_group_json(g) for g in groups],
        "more_groups": listed.more_groups,
        "reuseport": listed.shares_port,
        "reuseport_group": share and {"number": share.number, "members": share.members},
        "address_bound": shown.address_bound,
        "kernel": listed.kernel,
        "rx": detail.rx,
        "tx": detail.tx,
        "drops": detail.drops,
        "memory": detail.memory and asdict(detail.memory),
        "age": None,  # no kernel keeps when a socket was made
    }


def _group_json(group: Joined) -> Json:
    return {
        "address": group.address,
        "device": group.device,
        "named_sources": group.named_sources,
    }


def csv_rows(sockets: Sequence[Listed], columns: Sequence[str]) -> Iterator[str]:
    """A head row, then a row a socket."""
    yield row(columns)
    for listed in sockets:
        texts = (COLUMNS[column].text(listed) for column in columns)
        yield row(cell(_CSV_WORDS.get(text, text)) for text in texts)
