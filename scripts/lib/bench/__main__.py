"""The command line of scripts/bench."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import figures, guest, native, report
from bench.figures import Figure
from bench.targets import with_targets

IN_GUEST = {
    "start": "command to all probes attached, and memory, beside tcpconnect, tcpdrop and bpftrace",
    "steps": "a warm start by its steps",
    "received": "a datagram that finds its socket, beside tcpdump, bpftrace and pwru",
    "misses": "a datagram that misses, by the sockets in its slot",
    "verdicts": "from the ICMP to the printed verdict",
    "listing": "udptrace sockets on 100,000 of them, beside ss",
    "storm": "a million misses, and a scan of ports: what is counted, and what the tracer takes",
}
NATIVE = {
    "native": (native.figures, "a start up to attaching: seconds on this machine"),
    "report": (report.figures, "udptrace report on a million events: seconds on this machine"),
}
TOPICS = {**IN_GUEST, **{topic: text for topic, (_, text) in NATIVE.items()}}


def parser() -> argparse.ArgumentParser:
    """The options of scripts/bench."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure what udptrace costs, beside its peers and its targets: in the VM,\n"
        "where a nanosecond is an executed instruction, unless said otherwise.",
        epilog="\n".join(["topics:", *(f"  {topic:10}{text}" for topic, text in TOPICS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="write the figures there, too, in the place of those that it has of the same topics",
    )
    parser.add_argument("topics", metavar="TOPIC", nargs="*", help="these alone, not all of them")
    return parser


def main(arguments: list[str]) -> int:
    """Measure, print a table a topic; 1 when a target is missed."""
    options = parser()
    chosen = options.parse_args(arguments)
    unknown = [topic for topic in chosen.topics if topic not in TOPICS]
    if unknown:
        options.error(f"no topic {unknown[0]}; there are {', '.join(TOPICS)}")
    found = with_targets(_measure(chosen.topics or list(TOPICS)))
    for topic, its in figures.by_topic(found).items():
        print(f"{topic}\n\n{figures.table(its, 'simple')}\n")
    if chosen.json:
        figures.save(with_targets(figures.renewed(chosen.json, found)), chosen.json)
    return 1 if any(figure.missed for figure in found) else 0


def _measure(topics: list[str]) -> list[Figure]:
    inside = [topic for topic in topics if topic in IN_GUEST]
    found = guest.measure(inside) if inside else []
    for topic in topics:
        if topic in NATIVE:
            found += NATIVE[topic][0]()
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
