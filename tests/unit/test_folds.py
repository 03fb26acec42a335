"""A port scan in text: the first few in full, then how many there are by now."""

from __future__ import annotations

import re

from tests.unit.build import end, gram, header, loss, miss
from tracer.events import Event
from tracer.link import Linker
from tracer.render.folds import APART_NS, FULL
from tracer.render.text import TextRenderer

SCANNER = "10.0.0.9:4000"


def told(*events: Event) -> list[str]:
    """The first line of each incident, and those that stand for many."""
    linker, renderer = Linker(), TextRenderer(fold=True)
    printed = ""
    for event in (header(), *events):
        for update in linker.feed(event):
            printed += renderer.update(update)
        printed += renderer.event(event)
    lines = printed.replace("\n    ", " ").splitlines()
    return [line for line in lines if re.match(r"\d\d:\d\d", line)]


def scan(ports: range, source: str = SCANNER, at_ms: float = 10) -> list[Event]:
    """A miss on each port, a tenth of a millisecond apart."""
    return [
        miss(at_ms + number / 10, gram(source, f"10.0.0.1:{port}"))
        for number, port in enumerate(ports)
    ]


def test_the_first_are_told_in_full_and_then_their_number() -> None:
    lines = told(*scan(range(1, 1025)), end(9000))
    assert len(lines) == FULL + 5  # 1, 10, 100, 1000, and all of them at the end
    assert [line.split(" > ")[1].split()[0] for line in lines[:FULL]] == [
        f"10.0.0.1:{port}" for port in range(1, FULL + 1)
    ]
    assert "1 more alike, port 5, 1 miss netns" in " ".join(lines[FULL].split())
    assert "10.0.0.9 > 10.0.0.1 1020 more alike, ports 5 to 1024, 1020 misses" in (
        " ".join(lines[-1].split())
    )


def test_a_few_are_no_scan() -> None:
    assert len(told(*scan(range(1, FULL + 1)), end(9000))) == FULL
    both = told(*scan(range(1, FULL + 1)), *scan(range(1, FULL + 1), "10.0.0.8:4000"), end(9000))
    assert len(both) == 2 * FULL
    assert not any("alike" in line for line in both)


def test_a_later_scan_is_told_anew() -> None:
    later = 10 + 2 * APART_NS / 1e6
    lines = told(*scan(range(1, 11)), *scan(range(11, 21), at_ms=later), end(2 * later))
    assert sum("alike" not in line for line in lines) == 2 * FULL


def test_repeats_of_what_is_folded_are_counted() -> None:
    again = miss(3000, gram(SCANNER, "10.0.0.1:12"), since=10 + 1.1, total=5)
    *_, last = told(*scan(range(1, 13)), again, end(9000))
    assert "8 more alike, ports 5 to 12, 12 misses" in " ".join(last.split())


def test_doubtful_ones_are_counted_apart() -> None:
    """Which are so is said where they are told."""
    doubtful = [loss(5000, "candidate", 1), *scan(range(11, 21), at_ms=5001)]
    lines = told(*scan(range(1, 11)), *doubtful, end(9000))
    folded = [line.split()[1] for line in lines if "alike" in line]
    assert folded == ["no-socket", "no-socket?"] * 2  # the first of each, then all
