"""Recordings of several hosts: an ICMP sent on one and told on another is one incident."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.unit.build import HOST as HOST_NETNS
from tests.unit.build import (
    MS,
    REALTIME,
    close,
    connect,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    nat,
    received,
    sock,
    task,
)
from tests.unit.report import invoke, report_on, write
from tracer.causes import Cause
from tracer.events import Event
from tracer.report.model import Report

AHEAD = 2500
"""Milliseconds that the client's clock is ahead."""


def server(tmp_path: Path, *times: float, translated: bool = False) -> str:
    """Refuses a datagram for each time (ms), the first from port 40000."""
    events: list[Event] = [header(), namespace(0.1, HOST_NETNS, "host", "10.0.0.2")]
    for number, ms in enumerate(times):
        datagram = gram(f"10.0.0.1:{40_000 + number}", "10.0.0.2:53", length=40)
        events.append(miss(ms, datagram))
        if translated:
            before = (f"192.168.1.1:{50_000 + number}", "10.0.0.2:53")
            events.append(nat(ms + 1, datagram, *before, receiver=HOST_NETNS))
    return write(tmp_path / "server", [*events, end(60_000)])


def client(tmp_path: Path, *times: float, ahead: float = AHEAD, bound: bool = False) -> str:
    """Sends such datagrams, and is told; its own clock says other times, and began elsewhere."""
    mine = replace(
        header(),
        host="client-7",
        boot_id="0b5e",
        realtime_ns=REALTIME + round(ahead * MS),
    )
    events: list[Event] = [mine, namespace(0.1, HOST_NETNS, "host", "10.0.0.1")]
    for number, ms in enumerate(times):
        port = 40_000 + number
        open_ = sock(f"0.0.0.0:{port}", inode=port, bound=bound)
        tied = sock(f"10.0.0.1:{port}", "10.0.0.2:53", inode=port, bound=bound)
        datagram = gram(f"10.0.0.1:{port}", "10.0.0.2:53", length=40)
        events += [
            connect(ms - 5, open_, tied, by=task(99, "dig")),
            received(ms, datagram),
            error(ms + 0.01, tied),
            close(ms + 5, tied, by=task(99, "dig")),
        ]
    return write(tmp_path / "client", [*events, end(60_000)])


def shape(report: Report) -> list[tuple[Cause, str, int, int]]:
    return [(g.key.cause, g.key.host, g.incidents, g.joined) for g in report.groups]


def test_apart_each_has_its_half(tmp_path: Path) -> None:
    assert shape(report_on(server(tmp_path, 1000))) == [(Cause.NO_SOCKET, "edge-1", 1, 0)]
    assert shape(report_on(client(tmp_path, 1000.4))) == [(Cause.REMOTE, "client-7", 1, 0)]


def test_together_they_are_one_incident_with_its_sender(tmp_path: Path) -> None:
    report = report_on(server(tmp_path, 1000), client(tmp_path, 1000.4))
    assert shape(report) == [(Cause.NO_SOCKET, "edge-1", 1, 1)]
    assert (report.misses, report.incidents) == (1, 1)
    sample = report.groups[0].samples[0]
    incident, joined = sample.incident, sample.joined
    assert joined is not None
    assert (joined.host, joined.offset) == ("client-7", round((AHEAD + 0.4) * MS))
    assert incident.origin is not None
    assert incident.origin.processes[0].comm == "dig"
    assert [told.error for told in incident.told] == ["ECONNREFUSED"]
    assert incident.icmp.status == "sent"
    # By the server's clock: told just after the miss, connected before it.
    assert incident.time is not None
    assert incident.told[0].time == incident.time + round(0.01 * MS)
    assert incident.origin.connect is not None
    assert incident.origin.connect.time == incident.time - 5 * MS


def test_a_sender_on_a_port_of_its_own_choice_does_not_make_another_group(tmp_path: Path) -> None:
    report = report_on(server(tmp_path, 1000), client(tmp_path, 1000.4, bound=True))
    assert shape(report) == [(Cause.NO_SOCKET, "edge-1", 1, 1)]
    assert report.groups[0].samples[0].joined is not None


def test_the_offset_is_stated_with_its_pairs_and_spread(tmp_path: Path) -> None:
    first = server(tmp_path, 1000, 2000, 3000)
    report = report_on(first, client(tmp_path, 1000.4, 2000.2, 3000.9))
    (offset,) = report.offsets
    assert (offset.host, offset.behind, offset.pairs) == ("client-7", "edge-1", 3)
    assert offset.median == round((AHEAD + 0.4) * MS)
    assert (offset.low, offset.high) == (round((AHEAD + 0.2) * MS), round((AHEAD + 0.9) * MS))
    text = " ".join(invoke("report", first, str(tmp_path / "client")).output.split())
    assert "the clock of client-7 is 2500.400 ms ahead of edge-1's, by 3 incidents" in text
    assert "(2500.200 to 2500.900 ms;" in text


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    one, other = server(tmp_path, 1000), client(tmp_path, 1000.4)
    assert report_on(one, other).groups == report_on(other, one).groups
    (offset,) = report_on(other, one).offsets
    assert (offset.host, offset.median) == ("edge-1", -round((AHEAD + 0.4) * MS))


def test_a_translation_on_the_way_is_seen_through(tmp_path: Path) -> None:
    translated = server(tmp_path, 1000, translated=True)
    assert shape(report_on(translated, client(tmp_path, 1000.4)))[0][3] == 1


def test_lookalike_other_ends_stay_apart(tmp_path: Path) -> None:
    report = report_on(server(tmp_path, 1000), client(tmp_path))
    assert shape(report) == [(Cause.NO_SOCKET, "edge-1", 1, 0)]
    assert report.offsets == ()


def test_lookalike_the_same_ends_on_another_day_stay_apart(tmp_path: Path) -> None:
    report = report_on(server(tmp_path, 1000), client(tmp_path, 1000.4, ahead=86_400_000))
    assert sorted(shape(report)) == [
        (Cause.NO_SOCKET, "edge-1", 1, 0),
        (Cause.REMOTE, "client-7", 1, 0),
    ]


def test_lookalike_one_that_does_not_fit_the_others_offset_stays_apart(tmp_path: Path) -> None:
    report = report_on(
        server(tmp_path, 1000, 2000, 3000, 4000),
        client(tmp_path, 1000.4, 2000.4, 3000.4, 34_000.4),
    )
    assert sorted(shape(report)) == [
        (Cause.NO_SOCKET, "edge-1", 4, 3),
        (Cause.REMOTE, "client-7", 1, 0),
    ]


def test_of_three_hosts_each_half_is_used_once(tmp_path: Path) -> None:
    """Two clients with the same private address: one of them it was."""
    first = client(tmp_path, 1000.4)
    second = tmp_path / "second"
    second.write_text(Path(first).read_text().replace("0b5e", "0b5f"))
    report = report_on(server(tmp_path, 1000), first, str(second))
    assert sorted(shape(report)) == [
        (Cause.NO_SOCKET, "edge-1", 1, 1),
        (Cause.REMOTE, "client-7", 1, 0),
    ]


def test_json_says_of_whom_the_other_half_is(tmp_path: Path) -> None:
    done = invoke("report", "-f", "json", server(tmp_path, 1000), client(tmp_path, 1000.4))
    lines = [json.loads(line) for line in done.output.splitlines()]
    (incident,) = (line for line in lines if line["kind"] == "incident")
    assert incident["joined"]["host"] == "client-7"
    assert lines[0]["offsets"][0]["pairs"] == 1
