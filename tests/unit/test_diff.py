"""`udptrace diff`: new culprits, gone ones, rates; 3 where there is more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.build import count, end, gram, header, miss
from tests.unit.report import invoke, report_on, write
from tests.unit.test_report import query
from tracer.errors import BadAnswer
from tracer.events import Event, Miss
from tracer.report.diff import diff

OLD = gram("10.0.0.1:40000", "10.0.1.1:53")
NEW = gram("10.0.0.1:40000", "10.0.1.2:53")


def trace(path: Path, seconds: int, boot: str = "one", **misses: tuple[int, Miss]) -> str:
    """A recording of so many seconds; a miss and its repeats of each datagram."""
    events: list[Event] = [replace(header(), boot_id=boot)]
    for total, first in misses.values():
        events.append(first)
        events.append(count(2000, first.datagram, total, since=1000))
    return write(path, [*events, end(seconds * 1000)])


def changes(before: str, after: str, tolerance: float = 0.1) -> list[tuple[str, str, int, int]]:
    found = diff(report_on(before), report_on(after), tolerance)
    return [(c.what, c.key.ends.dst, c.before.misses, c.after.misses) for c in found.changes]


def test_new_and_gone(tmp_path: Path) -> None:
    before = trace(tmp_path / "a", 100, old=(5, miss(1000, OLD)))
    after = trace(tmp_path / "b", 100, "other", new=(7, miss(1000, NEW)))
    assert changes(before, after) == [("new", "10.0.1.2", 0, 7), ("gone", "10.0.1.1", 5, 0)]
    done = invoke("diff", before, after)
    assert isinstance(done.exception, BadAnswer)
    assert str(done.exception) == "diff found more: 1 new group, 0 at a higher rate"
    assert done.exception.exit_code == 3
    assert "\nNew\n  no-socket" in done.output
    assert "0 -> 7 misses, 0/s -> 0.07/s" in done.output


@pytest.mark.parametrize(
    ("misses", "seconds", "what"),
    [(10, 100, "same"), (12, 100, "more"), (10, 50, "more"), (8, 100, "less"), (20, 200, "same")],
)
def test_rates_are_by_trace_time(tmp_path: Path, misses: int, seconds: int, what: str) -> None:
    before = trace(tmp_path / "a", 100, old=(10, miss(1000, OLD)))
    after = trace(tmp_path / "b", seconds, old=(misses, miss(1000, OLD)))
    assert changes(before, after) == [(what, "10.0.1.1", 10, misses)]
    done = invoke("diff", before, after)
    assert (done.exception is not None) == (what == "more")


def test_a_tolerance(tmp_path: Path) -> None:
    before = trace(tmp_path / "a", 100, old=(10, miss(1000, OLD)))
    after = trace(tmp_path / "b", 100, old=(14, miss(1000, OLD)))
    assert invoke("diff", "--tolerance", "50", before, after).exit_code == 0
    assert invoke("diff", "--tolerance", "10", before, after).exit_code != 0


def test_clients_with_other_ports_are_the_same_culprit(tmp_path: Path) -> None:
    before = write(tmp_path / "a", [header(), *query(1000, 40001), end(9000)])
    after = write(tmp_path / "b", [header(), *query(2000, 51234), end(9000)])
    assert changes(before, after) == [("same", "10.0.1.1", 1, 1)]


def test_json(tmp_path: Path) -> None:
    before = trace(tmp_path / "a", 100, old=(5, miss(1000, OLD)))
    after = trace(tmp_path / "b", 100, new=(7, miss(1000, NEW)))
    lines = [
        json.loads(line)
        for line in invoke("diff", "-f", "json", before, after).output.splitlines()[:3]
    ]
    assert [line["kind"] for line in lines] == ["diff", "change", "change"]
    assert lines[0]["more"] is True
    assert lines[0]["changes"] == {"new": 1, "more": 0, "less": 0, "same": 0, "gone": 1}
    assert lines[1]["ends"] == {"src": "10.0.0.1", "sport": None, "dst": "10.0.1.2", "dport": 53}


def test_nothing_in_either(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [header(), end(1000)])
    assert "nothing missed in either" in invoke("diff", path, path).output
