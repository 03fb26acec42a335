"""Measures in the guest, and writes the figures as JSON.

usage: python3 -m bench.in_guest FILE TOPIC...
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench import figures
from bench.in_guest import latency, listing, misses, received, start, storms

TOPICS = {
    "start": start.figures,
    "steps": start.steps,
    "received": received.figures,
    "misses": misses.figures,
    "verdicts": latency.figures,
    "listing": listing.figures,
    "storm": storms.figures,
}


def main(path: Path, topics: list[str]) -> int:
    """Measure what is asked for; each figure is told as it comes, for all of it takes long."""
    found = []
    # In this order: what a process starts has that process's memory for its own peak, until it is
    # another program, and a storm leaves much of it.
    for topic in sorted(topics, key=list(TOPICS).index):
        for figure in TOPICS[topic]():
            print(f"bench: {figure.row}, {figure.column}: {figure.text()}", file=sys.stderr)
            found.append(figure)
    figures.save(found, path)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
