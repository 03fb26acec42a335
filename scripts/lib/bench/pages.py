"""The figures in the pages: README's table of costs, and a table a topic in docs/overhead.md.

usage: python3 -m bench.pages, which writes what scripts/lib/bench/figures.json says into both
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from bench.checkout import TOP
from bench.figures import Figure, by_topic, load, table
from bench.targets import A_SECOND, SHOT, STORM

KEPT = TOP / "scripts/lib/bench/figures.json"
"""Of the run that the pages tell of: `scripts/bench --json scripts/lib/bench/figures.json`."""

PLACE = re.compile(r"(<!-- figures: (?P<what>[^>]+) -->\n)(?P<table>.*?)(<!-- end -->)", re.DOTALL)

ADDED, FIRST, AGAIN = "added on its path", "added to a first one", "added to a repeat"
READY = "until it traces, million instructions"
RECEIVING = ("tcpdump -w", "bpftrace", "pwru")
STARTED = ("tcpconnect", "tcpdrop", "bpftrace")

COSTS: Sequence[tuple[str, str, str, str, Sequence[str]]] = (
    ("a datagram received: instructions added", "received datagram", "udptrace", ADDED, RECEIVING),
    ("... with `--lookups off`", "received datagram", "udptrace --lookups off", ADDED, ()),
    ("a datagram missed, no socket on its port", "miss", "no socket", FIRST, ()),
    ("... 100 sockets", "miss", "100", FIRST, ()),
    ("... 60,000 sockets", "miss", "60,000", FIRST, ()),
    ("... missed again", "miss", "100", AGAIN, ()),
    ("the first start: million instructions", "start", "udptrace, cold", READY, STARTED),
    ("a later start", "start", "udptrace, warm", READY, ()),
    ("memory at most", "start", "udptrace, cold", "peak memory", STARTED),
    ("memory while it traces", "start", "udptrace, warm", "memory after", STARTED),
    ("a storm of misses: million instructions a second", STORM, SHOT, A_SECOND, ()),
    ("from the ICMP to its verdict, p50", "verdict", "default", "p50", ()),
    ("... p99", "verdict", "default", "p99", ()),
)
"""README's rows: what it is; topic, row and column of its figure; the peers' rows beside it."""


def costs(figures: Sequence[Figure]) -> str:
    """README's table."""
    found = {(f.topic, f.row, f.column): f for f in figures}
    rows = []
    for what, topic, row, column, peers in COSTS:
        own = found[topic, row, column]
        theirs = (f"{peer} {found[topic, peer, column].text()}" for peer in peers)
        rows.append([what, own.text(), own.target, ", ".join(theirs)])
    heads = ["what", "udptrace", "at most", "other tools"]
    aligned = ("left", "right", "right", "left")
    return tabulate(rows, heads, tablefmt="github", colalign=aligned, disable_numparse=True)


def filled(page: str, figures: Sequence[Figure]) -> str:
    """A page with its tables as the figures say; raises KeyError for a topic without figures."""
    return PLACE.sub(lambda m: f"{m[1]}{_table(m['what'], figures)}\n{m[4]}", page)


def _table(what: str, figures: Sequence[Figure]) -> str:
    return costs(figures) if what == "cost" else table(by_topic(figures)[what], "github")


def main() -> None:
    """Write the figures kept into the pages."""
    figures = load(KEPT)
    for page in (TOP / "README.md", TOP / "docs/overhead.md"):
        page.write_text(filled(page.read_text(), figures))


if __name__ == "__main__":
    main()
