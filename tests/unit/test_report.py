"""Reports: groups, rates, timelines, files of one boot, what is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.unit import scenes
from tests.unit.build import (
    HOST,
    MS,
    REALTIME,
    at,
    autobind,
    close,
    connect,
    count,
    end,
    error,
    gram,
    header,
    loss,
    miss,
    namespace,
    sock,
    task,
)
from tests.unit.linking import only, updates
from tests.unit.report import groups_of, invoke, report_on, write
from tracer.causes import Cause
from tracer.events import LOSSES, Clock, Event
from tracer.recording import codec
from tracer.report.doubts import DOUBTS
from tracer.report.groups import Groups
from tracer.report.model import Culprit, Ends
from tracer.report.rate import SPANS, Histogram, aligned
from tracer.report.timeline import timeline

S = 1_000_000_000


def query(ms: float, sport: int, dst: str = "10.0.1.1:53") -> list[Event]:
    """A client with a port of the kernel's choice asks where nobody is."""
    open_ = sock(f"0.0.0.0:{sport}", inode=sport, bound=False)
    tied = sock(f"10.0.0.1:{sport}", dst, inode=sport, bound=False)
    datagram = gram(f"10.0.0.1:{sport}", dst, ifname="lo", ifindex=1)
    return [
        autobind(ms, open_, by=task(77, "client")),
        connect(ms + 1, open_, tied, by=task(77, "client")),
        miss(ms + 2, datagram),
        error(ms + 3, tied),
        close(ms + 4, tied, by=task(77, "client")),
    ]


# Groups


def test_incidents_of_clients_on_ports_the_kernel_chose_are_one_group() -> None:
    (group,) = groups_of(header(), *query(1000, 40001), *query(3000, 40002), end(9000))
    assert (group.key.cause, group.incidents, group.misses) == (Cause.NO_SOCKET, 2, 2)
    assert group.key.culprit == Culprit("nobody", None, "port 53")
    assert group.key.ends == Ends("10.0.0.1", None, "10.0.1.1", 53)
    assert (group.first, group.last) == (REALTIME + 1002 * MS, REALTIME + 3002 * MS)
    assert group.misses_per_s == 1.0


def test_a_reply_to_a_port_the_kernel_chose_has_the_servers_port() -> None:
    reply = groups_of(*scenes.run_b())[0]
    assert reply.key.cause is Cause.REMOTE_ADDRESS
    assert reply.key.culprit == Culprit("socket", "nc", "a port the kernel chose")
    assert reply.key.ends == Ends("172.17.0.1", 56789, "172.17.0.2", None)


def test_an_update_counts_what_is_new() -> None:
    datagram = gram("10.0.0.1:40000", "10.0.1.1:53")
    again = [count(ms, datagram, 5 + ms // 1000, since=1000) for ms in (2000, 4000, 60_000)]
    (group,) = groups_of(header(), miss(1000, datagram), *again, end(90_000))
    assert (group.incidents, group.misses) == (1, 65)
    assert group.samples[0].incident.count == 65
    assert group.bins is not None
    assert sum(group.bins.counts) == 65


def test_an_incident_whose_cause_changes_moves_to_another_group() -> None:
    before = updates([*scenes.run_a()])[0]
    groups = Groups()
    groups.take(before)
    race = replace(before.incident, cause=Cause.RACE, seq=2, count=4)
    groups.take(replace(before, incident=race, previous=before.incident))
    (group,) = groups.finished()
    assert (group.key.cause, group.incidents, group.misses) == (Cause.RACE, 1, 4)
    assert [cause for cause, _ in groups.over_time()] == ["race"]


def test_what_has_no_room_is_counted() -> None:
    groups = Groups(limit=2)
    events: list[Event] = [header()]
    for number in range(5):
        events += query(1000 + number * 100, 40_000 + number, f"10.0.1.{number + 1}:53")
    for update in updates([*events, end(9000)]):
        groups.take(update)
    assert len(groups.finished()) == 2
    rest = groups.rest()
    assert (rest.incidents, rest.misses, rest.causes) == (3, 3, (("no-socket", 3),))
    over_time = dict(groups.over_time())
    assert sum(over_time["no-socket"].counts) == 5


def test_the_causes_count_what_has_no_room(tmp_path: Path) -> None:
    events: list[Event] = [header()]
    for number in range(1002):
        events += query(1000 + number * 10, 20_000 + number, f"10.0.1.1:{number + 1}")
    path = write(tmp_path / "scan", [*events, end(60_000)])
    done = invoke("report", "--top", "1", path)
    assert "1002 misses in 1002 incidents, 1000 groups and more" in done.output
    assert "999 further groups with 999 misses: see --top" in done.output
    assert "2 incidents of further groups are only counted: 2 no-socket" in done.output


# Over time


def test_spans_become_longer_with_time() -> None:
    histogram = Histogram()
    for second in range(1000):
        histogram.add(second * S, 1)
    bins = histogram.bins()
    assert bins is not None
    assert len(bins.counts) <= SPANS
    assert bins.width == 16 * S
    assert set(bins.counts[:-1]) == {16}
    assert sum(bins.counts) == 1000


def test_several_are_shown_in_the_same_spans() -> None:
    near, far = Histogram(), Histogram()
    near.add(1000 * S, 1)
    far.add(5000 * S, 2)
    bins = aligned({"near": near, "far": far, "none": Histogram()})
    assert set(bins) == {"near", "far"}
    assert bins["near"].start == bins["far"].start
    assert len(bins["near"].counts) == len(bins["far"].counts) <= SPANS
    assert (sum(bins["near"].counts), sum(bins["far"].counts)) == (1, 2)


# The timeline


def test_a_timeline_has_both_sockets_lives_in_order() -> None:
    incident = only(*scenes.run_a()[1:-1])
    found = [(moment.side, moment.what) for moment in timeline(incident)]
    assert found == [
        ("receiver", "bind"),
        ("sender", "autobind"),
        ("sender", "connect"),
        ("receiver", "connect"),
        ("receiver", "datagram"),
        ("receiver", "icmp"),
        ("sender", "error"),
        ("sender", "close"),
    ]


def test_a_timeline_tells_the_last_of_repeats() -> None:
    datagram = gram("10.0.0.1:40000", "10.0.1.1:53")
    incident = only(miss(1000, datagram), count(4000, datagram, 6, since=1000))
    last = timeline(incident)[-1]
    assert (last.what, last.detail, last.time) == ("repeat", "6", REALTIME + 4000 * MS)


# Files


def rotated(tmp_path: Path) -> tuple[str, str]:
    """A trace in two files: what the second one has of the first's sockets is its snapshot."""
    first = [header(), *query(1000, 40001), end(2000, "rotated")]
    later = replace(header(), time=at(2000), realtime_ns=REALTIME + 2000 * MS)
    second = [later, *query(3000, 40002), end(5000)]
    return write(tmp_path / "b.1", first), write(tmp_path / "a.2", second)


def test_files_of_one_boot_are_one_trace_in_the_order_of_time(tmp_path: Path) -> None:
    first, second = rotated(tmp_path)
    report = report_on(second, first)
    (trace,) = report.traces
    assert [part.path for part in trace.parts] == [first, second]
    assert [part.reason for part in trace.parts] == ["rotated", "interrupted"]
    assert (report.misses, report.incidents, len(report.groups)) == (2, 2, 1)
    assert (trace.began, trace.ended) == (REALTIME, REALTIME + 5000 * MS)


def test_what_two_files_both_have_is_told_once(tmp_path: Path) -> None:
    events = [header(), *query(1000, 40001), end(2000)]
    report = report_on(write(tmp_path / "one", events), write(tmp_path / "other", events))
    assert (report.misses, report.incidents) == (1, 1)
    (trace,) = report.traces
    assert [part.overlap for part in trace.parts] == [0, 2]
    done = invoke("report", str(tmp_path / "one"), str(tmp_path / "other"))
    assert "2 misses and errors are of a time that" in " ".join(done.output.split())


def test_the_same_name_twice_is_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "one", [header(), *query(1000, 40001), end(2000)])
    assert len(report_on(path, path).traces[0].parts) == 1


def test_a_clock_that_was_set_is_told(tmp_path: Path) -> None:
    steps = [
        Clock(at(60_000), REALTIME + 60_000 * MS + 5 * S, at(65_000)),
        Clock(at(120_000), REALTIME + 120_000 * MS + 5 * S + 1000, at(125_000)),
    ]
    report = report_on(write(tmp_path / "set", [header(), *steps, end(130_000)]))
    (step,) = report.traces[0].clock_steps
    assert step.step == 5 * S
    done = invoke("report", str(tmp_path / "set"))
    assert "the wall clock was set forwards by 5.0 s" in done.output


def test_what_is_not_known_and_what_is_damaged_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "newer"
    path.write_bytes(
        codec.encode(header()) + b'{"kind":"weather","time":1}\n' * 3 + b"{nonsense}\n"
    )
    done = invoke("report", str(path))
    assert done.exit_code == 0
    text = " ".join(done.output.split())
    assert "not understood here: weather (3)" in text
    assert "1 line is damaged and skipped" in text
    assert "there is no end record" in text
    value = json.loads(invoke("report", "-f", "json", str(path)).output.splitlines()[0])
    assert value["traces"][0]["files"][0]["unknown"] == {"weather": 3}


def test_a_loss_says_what_it_casts_doubt_on(tmp_path: Path) -> None:
    path = write(tmp_path / "lossy", [header(), loss(900, "close", 4), end(2000)])
    text = " ".join(invoke("report", path).output.split())
    assert "lost: 4 close records. In doubt: what was `closed` may be told as `no-socket`" in text


def test_every_loss_has_its_doubt() -> None:
    assert DOUBTS.keys() == LOSSES.keys()


def test_a_trace_without_an_incident(tmp_path: Path) -> None:
    path = write(tmp_path / "quiet", [header(), end(2000)])
    for output in ("text", "markdown", "json", "html"):
        done = invoke("report", "-f", output, path)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.output


# What is asked for


def test_filters_and_targets_as_in_a_replay(tmp_path: Path) -> None:
    path = write(tmp_path / "b", scenes.run_b())
    closed = invoke("report", "--cause", "closed", path).output
    assert "1 miss in 1 incident" in closed
    assert "only            cause closed" in closed
    box = invoke("report", "-N", "box", "--direction", "in", path).output
    assert "1 miss in 1 incident" in box
    done = invoke("report", "-N", "bx", path)
    assert "no network namespace of this name or number" in str(done.exception)


def test_a_host_without_the_namespace_asked_for_is_left_out(tmp_path: Path) -> None:
    with_box = write(tmp_path / "b", scenes.run_b())
    other = replace(header(), boot_id="another")
    without = write(tmp_path / "c", [other, namespace(1, HOST, "host"), *query(10, 40001), end(99)])
    report = invoke("report", "-N", "box", with_box, without)
    assert report.exit_code == 0
    assert "1 trace" in report.output
