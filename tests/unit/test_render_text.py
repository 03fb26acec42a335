"""The text renderer: what is printed when, how wide, and in which words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.unit.build import (
    BOX,
    HOST,
    OTHER,
    at,
    autobind,
    bind,
    close,
    connect,
    count,
    counters,
    end,
    error,
    gram,
    header,
    loss,
    miss,
    namespace,
    owners,
    seen,
    sock,
    task,
    tick,
    walk,
)
from tests.unit.scenes import run_a, run_b
from tracer.events import Event, IcmpFate
from tracer.link import Linker
from tracer.render.text import TextRenderer
from tracer.totals import Limits

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
WRONG = sock("127.0.0.1:53", inode=3, bound=True)
SENDER = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11, netns=BOX)


def text(*events: Event, color: bool = False, linker: Linker | None = None) -> str:
    """What a whole trace prints."""
    linker = linker or Linker()
    renderer = TextRenderer(color=color)
    printed = ""
    for event in events:
        for update in linker.feed(event):
            printed += renderer.update(update)
        printed += renderer.event(event)
    return printed + renderer.end(linker.stats)


def body(*events: Event) -> list[str]:
    """The lines between the header and the summary."""
    lines = text(header(), *events, end(200_000)).splitlines()
    (summary,) = (number for number, line in enumerate(lines) if re.match(r"\d+ s: ", line))
    return lines[1:summary]


def test_the_frame_of_a_trace() -> None:
    assert text(header(), seen(1, WRONG), end(30_000)).splitlines() == [
        "2026-11-22 UTC  udptrace 0.1.0 on edge-1, Linux 6.12.107",
        "30 s: 0 misses in 0 incidents, 1 socket, 4 probes proven, nothing lost",
    ]


def test_the_header_names_targets_and_missing_probes() -> None:
    first = replace(
        header(),
        targets=(BOX,),
        target_names=("we\x1bb",),
        missing=(("inet_autobind", "symbol absent"),),
    )
    assert text(first).splitlines()[1:3] == [
        'only what concerns "we\\x1bb"',
        "without inet_autobind: symbol absent",
    ]


def test_a_repeat_is_one_line() -> None:
    lines = body(
        miss(1000, DATAGRAM, WRONG),
        tick(1300),
        count(7000, DATAGRAM, 17, since=1000, last=6972),
    )
    assert lines[-1] == "12:03:06.972 local-address   10.0.0.9:4000 > 10.0.0.1:53  17 times"
    assert len([line for line in lines if "local-address" in line]) == 2


def test_a_repeat_says_since_when_where_there_is_room() -> None:
    nowhere = gram("1.2.3.4:5", "5.6.7.8:9")
    lines = body(miss(1000, nowhere), tick(1300), count(7000, nowhere, 2, since=1000, last=6972))
    expected = "12:03:06.972 no-socket       1.2.3.4:5 > 5.6.7.8:9  2 times  since 12:03:01.000"
    assert lines[-1] == expected


def test_a_repeat_adds_what_is_new() -> None:
    lines = body(
        miss(1000, DATAGRAM, WRONG),
        tick(1300),
        loss(1400),
        count(7000, DATAGRAM, 2, since=1000, last=6972),
        error(6972.1, SENDER),
        owners(6973, 3, (77, "named", 12)),
        owners(6974, 11, (78, "dig", 3)),
        tick(7001),
    )
    again = lines.index("12:03:06.972 local-address?  10.0.0.9:4000 > 10.0.0.1:53  2 times")
    assert lines[again + 1 :] == [
        "  refused by  named[77] fd 12  127.0.0.1:53 UNCONN",
        f"  sent by     dig[78] fd 3  10.0.0.9:4000 -> 10.0.0.1:53 ESTAB  netns {BOX}",
        "  told        dig[78]: ECONNREFUSED",
    ]
    assert lines[again - 2 : again] == [
        "12:03:01.000 local-address?  10.0.0.9:4000 > 10.0.0.1:53  since 12:03:01.000",
        "  doubt       3 close records lost around that time",
    ]


def test_a_changed_verdict_is_printed_in_full() -> None:
    lines = body(
        count(1001, DATAGRAM, 1, since=1000, last=1000),
        tick(2000),
        miss(1000, DATAGRAM, WRONG),
    )
    assert [line for line in lines if line.startswith("12:")] == [
        f"12:03:01.000 no-socket?      10.0.0.9:4000 > 10.0.0.1:53  netns {HOST}",
        f"12:03:01.000 local-address   10.0.0.9:4000 > 10.0.0.1:53  netns {HOST}",
    ]
    assert "  refused by  process unknown  127.0.0.1:53 UNCONN" in lines


def test_a_first_version_with_a_count_says_so() -> None:
    lines = body(miss(1000, DATAGRAM, WRONG), count(1100, DATAGRAM, 3, since=1000))
    assert lines[0].startswith("12:03:01.000 local-address   10.0.0.9:4000 > 10.0.0.1:53  3 times")


def test_the_date_is_printed_when_it_changes() -> None:
    day = 24 * 3600 * 1000
    lines = text(
        header(), miss(1000, DATAGRAM), tick(2000), miss(day, DATAGRAM, WRONG), end(day + 500)
    )
    dates = [line for line in lines.splitlines() if re.fullmatch(r"\d{4}-\d\d-\d\d UTC", line)]
    assert dates == ["2026-11-23 UTC"]


def test_a_moment_of_another_day_has_its_date() -> None:
    day = 24 * 3600 * 1000
    after = sock("10.0.0.1:53", "10.0.0.8:4000", inode=5)
    lines = body(connect(5000, sock("0.0.0.0:53", inode=5), after), miss(day, DATAGRAM, after))
    whole = " ".join(" ".join(lines).split())
    assert "its connect(10.0.0.8:4000) at 2026-11-22 12:03:05.000; it had no peer before" in whole


def test_without_a_clock_times_are_monotonic() -> None:
    linker, renderer = Linker(), TextRenderer()
    linker.feed(miss(1000, DATAGRAM))
    (update,) = linker.flush()
    assert renderer.update(update).startswith("+801.000 no-socket")


def test_losses_are_printed_as_they_come() -> None:
    assert body(loss(1500, "candidate", 2), loss(1501, "fr\x1bobs", 1)) == [
        "12:03:01.500 lost: 2 sockets of a walk",
        '12:03:01.501 lost: 1 "fr\\x1bobs"',
    ]


def test_the_summary_tells_losses_and_what_was_forgotten() -> None:
    linker = Linker(limits=Limits(sockets=1))
    printed = text(
        header(),
        *(seen(n, sock("0.0.0.0:53", inode=n)) for n in (1, 2, 3)),
        loss(4, "miss", 5),
        end(61_000),
        linker=linker,
    )
    assert " ".join(printed.split()).endswith(
        "61 s: 0 misses in 0 incidents, 1 socket, 4 probes proven, lost: 5 misses not streamed "
        "(their counts are kept), forgotten to bound memory: 2 sockets"
    )


SENDS = ("icmp_push_reply", "icmpv6_push_pending_frames", "sk_error_report")


def told_lines(*events: Event) -> list[str]:
    """Who was told, one line each, of a trace that sees errors and the ICMPs that leave."""
    whole = text(header(probes=SENDS), *events, end(9000)).replace("\n              ", " ")
    return [line[14:] for line in whole.splitlines() if line.startswith("  told ")]


def test_nobody_was_told_is_said_as_plainly_as_who_was() -> None:
    one = miss(1000, DATAGRAM)
    assert told_lines(one, error(1000.1, SENDER)) == ["process unknown: ECONNREFUSED"]
    assert told_lines(one) == [
        "nobody: the ICMP did not leave (no route back, or its socket was busy)"
    ]
    limited = IcmpFate(at(1000.1), at(1000), "rate-limited")
    assert told_lines(one, limited) == ["nobody: a rate limit held the ICMP back"]
    left = IcmpFate(at(1000.1), at(1000), "sent")
    # Another machine's: whom it told is not known here.
    assert told_lines(one, left) == []
    unconnected = sock("0.0.0.0:4000", inode=11, netns=BOX)
    there = namespace(1, BOX, "box", "10.0.0.9")
    by = owners(2, 11, (78, "dig", 3))
    assert told_lines(there, seen(3, unconnected), by, one, left) == [
        "nobody: dig[78] is unconnected, and the kernel tells only a connected sender"
    ]
    assert told_lines(there, seen(3, SENDER), by, one, left) == [
        "nobody: no error was seen queued on it: dig[78]"
    ]


def test_nobody_was_told_of_some_of_the_repeats() -> None:
    left = IcmpFate(at(1000.1), at(1000), "sent")
    events: list[Event] = [miss(1000, DATAGRAM), left, error(1000.2, SENDER), tick(1300)]
    more = count(7000, DATAGRAM, 17, since=1000, last=6972, sent=6)
    assert told_lines(*events, more)[1:] == ["nobody in 11 of the 17: their ICMP did not leave"]
    # Told once, with the count at hand in the summary.
    again = count(8500, DATAGRAM, 18, since=1000, last=8472, sent=6)
    assert len(told_lines(*events, more, tick(7900), again)) == 2
    assert "18 misses (12 told to nobody) in 1 incident" in text(
        header(probes=SENDS), *events, more, again, end(9000)
    )


def test_the_summary_says_at_least_where_fates_are_not_known() -> None:
    silent = miss(1000, DATAGRAM)
    unknown = count(5000, gram("10.0.0.9:4001", "10.0.0.1:53"), 5, since=4000)
    printed = text(header(probes=SENDS), silent, unknown, end(9000))
    assert "6 misses (at least 1 told to nobody) in 2 incidents" in printed


def summary(*events: Event) -> list[str]:
    """What follows the summary's own lines, one line each."""
    whole = text(header(), *events, end(200_000)).replace("\n  ", " ").splitlines()
    (first,) = (number for number, line in enumerate(whole) if re.match(r"\d+ s: ", line))
    return whole[first + 1 :]


def test_what_died_silently_is_told_by_namespace() -> None:
    assert summary(
        namespace(1, BOX, "web"),
        counters(2, BOX, UdpNoPorts=5, UdpInErrors=5, UdpRcvbufErrors=5, UdpIgnoredMulti=0),
        counters(3, HOST, UdpNoPorts=5, UdpInErrors=5),
        counters(
            9, BOX, UdpNoPorts=5, UdpInErrors=9, UdpRcvbufErrors=8, UdpIgnoredMulti=1, final=True
        ),
        counters(10, HOST, UdpNoPorts=5, UdpInErrors=5, final=True),
    ) == [
        "netns web: 5 datagrams died silently: 3 receive buffer full, 1 broadcast or multicast "
        "that no socket took, 1 other (socket filter, IPsec policy, bad length)"
    ]


def test_a_difference_between_the_kernels_count_and_the_misses_is_told() -> None:
    first, last = counters(2, HOST, UdpNoPorts=5), counters(9, HOST, UdpNoPorts=17, final=True)
    assert summary(
        first, *(miss(3, gram(f"10.0.0.{n}:1", "10.0.0.1:53")) for n in range(10)), last
    ) == [
        f"netns {HOST}: the kernel counted 12 lookups without a socket, 10 were traced; 2 not: "
        "their probe did not run, or what it told was lost"
    ]
    same = counters(9, HOST, UdpNoPorts=5, final=True)
    assert summary(first, miss(3, DATAGRAM), same) == [
        f"netns {HOST}: the kernel counted 0 lookups without a socket, 1 were traced, "
        "1 that it did not count"
    ]


def test_namespaces_that_are_gone_share_a_line() -> None:
    lines = summary(
        counters(2, HOST, UdpNoPorts=5),
        counters(2, BOX, UdpNoPorts=5),
        counters(2, OTHER, UdpInErrors=5),
        miss(3, DATAGRAM),
        miss(4, DATAGRAM, netns=BOX),
        counters(5, OTHER, UdpInErrors=6),
        counters(9, HOST, final=True),
        counters(9, BOX, final=True),
        counters(9, OTHER, final=True),
    )
    assert lines == [
        f"netns {OTHER}: 1 datagram died silently: 1 other (socket filter, IPsec policy, bad "
        "length) (gone: counters not read at the end)",
        f"netns {HOST} and 1 more: gone before the end, so that the counters were not read: what "
        "died there silently is not known",
    ]


def test_colour_only_when_asked_and_never_in_the_way() -> None:
    plain, coloured = text(*run_b()), text(*run_b(), color=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    # Labels and causes are coloured, the words beside them are not.
    for line in coloured.splitlines():
        assert "\x1b" not in line or re.match(r"  \x1b|12:\S+ \x1b", line), line


def test_processes_that_share_a_socket_are_counted() -> None:
    lines = body(
        bind(1, WRONG, by=task(77, "named")),
        owners(2, 3, (77, "named", 12), (77, "named", 13), (78, "named", 12)),
        miss(1000, DATAGRAM, WRONG),
    )
    assert lines[1] == "  refused by  named[77] fd 12 and 1 more  127.0.0.1:53 UNCONN"


def test_a_connect_by_a_process_that_no_longer_holds_it() -> None:
    after = sock("10.0.0.1:53", "10.0.0.8:4000", inode=5)
    lines = body(
        connect(1, sock("0.0.0.0:53", inode=5), after, by=task(42, "parent")),
        owners(2, 5, (43, "child", 0)),
        miss(1000, DATAGRAM, after),
    )
    assert lines[3].startswith("  set by      parent[42]'s connect(10.0.0.8:4000) at")


def test_a_name_with_a_space_is_quoted_wherever_it_stands() -> None:
    after = sock("10.0.0.1:53", "10.0.0.8:4000", inode=5)
    by = task(42, "my server")
    lines = body(
        connect(1, sock("0.0.0.0:53", inode=5), after, by=by),
        owners(2, 5, (43, "my child", 0)),
        miss(1000, DATAGRAM, after),
        seen(1001, SENDER),
    )
    assert lines[1] == '  refused by  "my child"[43] fd 0  10.0.0.1:53 -> 10.0.0.8:4000 ESTAB'
    assert lines[3].startswith('  set by      "my server"[42]\'s connect(10.0.0.8:4000) at')


def test_a_sender_that_closed_before_the_miss() -> None:
    lines = body(seen(1, SENDER), close(999.5, SENDER), miss(1000, DATAGRAM))
    assert "              closed before, at 12:03:00.999 by nc[3467]" in lines


def test_a_connect_before_the_trace_is_not_invented() -> None:
    lines = body(miss(1000, DATAGRAM, sock("10.0.0.1:53", "10.0.0.8:4000", inode=5)))
    expected = "  set by      a connect() not seen: no record of the call"
    assert expected in lines


def test_an_autobound_socket_says_so() -> None:
    loose = sock("0.0.0.0:4000", inode=8, netns=HOST)
    lines = body(
        autobind(1, loose, by=task(5, "dig")),
        close(999, loose, by=task(5, "dig")),
        miss(1000, gram("10.0.0.1:53", "10.0.0.9:4000")),
    )
    assert "  set by      its autobind at 12:03:00.001" in lines


def test_runs_a_and_b_answer_the_seeds_three_questions() -> None:
    a, b = " ".join(text(*run_a()).split()), " ".join(text(*run_b()).split())
    # 1. Why does the server's datagram come from docker0's address?
    why = (
        "its connect(172.17.0.2:45609) at 12:03:42.500; the route chose 172.17.0.1, it was 0.0.0.0 "
        "before"
    )
    assert why in a
    assert why in b
    # 2. Why is the server's answer refused?
    assert "takes datagrams from 10.128.135.176 only; this came from 172.17.0.1" in b
    # 3. Why does the client's first datagram arrive and its second not?
    assert "tied by connect() to 172.17.0.1; this was for 10.128.135.176" in a
    assert "closed 3.2 s before, by nc[3467], after it was told ECONNREFUSED" in b


HOSTILE = "\x1b]0;x\x07\u202e网络网络\n" * 20


@pytest.mark.parametrize("comm", ["网络网络网", "x" * 500, HOSTILE])
def test_hostile_names_stay_inside_their_lines(comm: str) -> None:
    printed = text(
        replace(header(), host=comm, kernel=comm, version=comm),
        namespace(1, HOST, comm, "10.0.0.1", links=((2, comm),)),
        bind(1, WRONG, by=task(1, comm)),
        seen(2, sock("10.0.0.1:53", inode=50, netns=BOX)),
        miss(1000, replace(DATAGRAM, ifname=comm, src=comm), replace(WRONG, device=2, peer=comm)),
        miss(1100, gram("10.0.0.9:1", "10.0.0.1:53"), proven=False, caller=comm),
        miss(1200, gram("10.0.0.9:2", "10.0.0.1:53"), walked=walk(truncated=True)),
        loss(1300, comm),
        end(9000, comm),
    )
    for line in printed.splitlines():
        assert line.isprintable(), line
    for bad in ("\x1b", "\x07", "\u202e"):
        assert bad not in printed
