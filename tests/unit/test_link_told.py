"""Who was told of a miss, and who was not."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    at,
    count,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    received,
    seen,
    sock,
    tick,
)
from tests.unit.linking import incidents, only, updates
from tracer.events import Event, Fate, IcmpFate, SocketView
from tracer.incident import Incident

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
SENDER = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11, netns=BOX)
MISS = miss(1000, DATAGRAM)


def told(incident: Incident) -> list[tuple[int, str]]:
    return [(t.socket.inode, t.error) for t in incident.told]


def test_an_error_within_the_settle_time_is_told() -> None:
    incident = only(seen(1, SENDER), MISS, error(1000.1, SENDER))
    assert told(incident) == [(11, "ECONNREFUSED")]
    assert incident.not_told == ()
    assert incident.icmp.status == "sent"


def test_errors_before_the_miss_or_long_after_are_not_its() -> None:
    for ms in (999.9, 1201):
        incident = only(seen(1, SENDER), MISS, error(ms, SENDER))
        assert told(incident) == []
        assert incident.icmp.status == "attempted"


def test_the_zero_that_comes_first_with_ip_recverr_is_no_error() -> None:
    incident = only(seen(1, SENDER), MISS, error(1000.1, SENDER, 0), error(1000.1, SENDER))
    assert told(incident) == [(11, "ECONNREFUSED")]


def test_another_flows_error_is_not_its() -> None:
    other = sock("10.0.0.9:4001", "10.0.0.1:53", inode=12, netns=BOX)
    assert told(only(MISS, error(1000.1, other))) == []


def test_an_unconnected_sender_is_not_told() -> None:
    loose = sock("10.0.0.9:4000", inode=12, netns=BOX)
    incident = only(seen(1, loose), MISS)
    assert [(n.socket.inode, n.why) for n in incident.not_told] == [(12, "unconnected")]


def test_an_unconnected_sender_that_asked_for_errors_is_told() -> None:
    loose = sock("0.0.0.0:4000", inode=12, netns=BOX)
    here = namespace(1, BOX, "box", "10.0.0.9")
    incident = only(here, seen(1, loose), MISS, error(1000.1, loose))
    assert told(incident) == [(12, "ECONNREFUSED")]
    assert incident.not_told == ()
    assert told(only(seen(1, loose), MISS, error(1000.1, loose))) == []


def test_an_unconnected_sender_whose_addresses_are_looked_up_late_is_told() -> None:
    loose = sock("0.0.0.0:4000", inode=12, netns=BOX)
    here = namespace(1000.2, BOX, "box", "10.0.0.9")
    incident = only(seen(1, loose), MISS, error(1000.1, loose), here)
    assert told(incident) == [(12, "ECONNREFUSED")]


def test_a_connected_sender_of_which_no_error_was_seen() -> None:
    incident = only(seen(1, SENDER), MISS)
    assert [n.why for n in incident.not_told] == ["no error was seen queued on it"]


def test_a_connected_sender_of_a_code_that_only_ip_recverr_is_told_of() -> None:
    incident = only(seen(1, SENDER), miss(1000, DATAGRAM, proven=False, code=1))
    assert [n.why for n in incident.not_told] == [
        "only a socket with IP_RECVERR is told of this code"
    ]
    six = sock("[fd00::9]:4000", "[fd00::1]:53", inode=11, netns=BOX)
    datagram = gram("[fd00::9]:4000", "[fd00::1]:53")
    soft = only(seen(1, six), miss(1000, datagram, proven=False, code=3)).not_told
    assert [n.why for n in soft] == ["only a socket with IPV6_RECVERR is told of this code"]
    hard = only(seen(1, six), miss(1000, datagram, proven=False, code=1)).not_told
    assert [n.why for n in hard] == ["no error was seen queued on it"]


def test_without_that_probe_nothing_is_claimed() -> None:
    trace: list[Event] = [header(probes=("__icmp_send",)), seen(1, SENDER), MISS, end(5000)]
    (update,) = updates(trace)
    assert update.incident.not_told == ()
    assert update.incident.caveats == ("who was told is not known: that probe is not attached",)


def test_one_entry_for_each_socket_and_errno_with_its_first_time() -> None:
    incident = only(
        seen(1, SENDER),
        MISS,
        error(1000.1, SENDER),
        count(1100, DATAGRAM, 2, since=1000),
        error(1100.1, SENDER),
        error(1100.2, SENDER, 113),
    )
    assert told(incident) == [(11, "ECONNREFUSED"), (11, "EHOSTUNREACH")]
    first = incident.told[0].time
    assert first is not None
    assert incident.time is not None
    assert first - incident.time == 100_000


def test_told_on_a_later_repeat_is_recorded_by_an_update() -> None:
    trace: list[Event] = [
        header(),
        seen(1, SENDER),
        MISS,
        count(3000, DATAGRAM, 2, since=1000, last=2999),
        error(2999.1, SENDER),
        end(9000),
    ]
    first, second = updates(trace)
    assert told(first.incident) == []
    assert told(second.incident) == [(11, "ECONNREFUSED")]
    assert second.incident.not_told == ()


def test_an_error_waits_for_the_count_of_its_miss() -> None:
    incident = only(
        seen(1, SENDER), MISS, error(5000, SENDER), count(5500, DATAGRAM, 2, since=1000, last=4999)
    )
    assert told(incident) == [(11, "ECONNREFUSED")]


def test_an_error_read_before_its_miss_finds_it() -> None:
    assert told(only(seen(1, SENDER), error(1000.1, SENDER), MISS)) == [(11, "ECONNREFUSED")]


def test_an_error_without_a_miss_makes_no_incident_yet() -> None:
    assert incidents(seen(1, SENDER), error(1000, SENDER)) == []


def test_an_error_goes_to_the_latest_of_two_receivers() -> None:
    early, late = miss(1000, DATAGRAM), miss(1050, DATAGRAM, netns=BOX)
    first, second = incidents(early, late, error(1050.1, SENDER))
    assert told(first) == []
    assert told(second) == [(11, "ECONNREFUSED")]


def test_an_unconnected_socket_on_another_port_did_not_send_it() -> None:
    loose = sock("10.0.0.9:4001", inode=12, netns=BOX)
    assert told(only(seen(1, loose), MISS, error(1000.1, loose))) == []


# What became of the ICMP

SENDS = ("icmp_push_reply", "icmpv6_push_pending_frames", "sk_error_report")


def fated(*fates: IcmpFate, probes: tuple[str, ...] = SENDS, view: SocketView = SENDER) -> Incident:
    trace: list[Event] = [header(probes=probes), seen(1, view), MISS, *fates, end(5000)]
    (update,) = updates(trace)
    return update.incident


def test_the_icmps_fate() -> None:
    passed = IcmpFate(at(1000.01), MISS.time, "sent")
    held = IcmpFate(at(1000.01), MISS.time, "rate-limited")
    assert fated(passed).icmp.status == "sent"
    assert fated(held).icmp.status == "rate-limited"
    assert fated().icmp.status == "suppressed"
    assert fated(probes=("sk_error_report",)).icmp.status == "attempted"


def test_a_fate_that_comes_late_is_told_late() -> None:
    """A virtual processor can be taken away between a miss and its ICMP."""
    trace: list[Event] = [header(probes=SENDS), MISS, tick(1500)]
    late = IcmpFate(at(1600), MISS.time, "sent")
    told = updates([*trace, late, end(5000)])
    assert [update.incident.icmp.status for update in told] == ["suppressed", "sent"]
    assert [update.incident.untold for update in told] == [1, 0]
    other = IcmpFate(at(1600), MISS.time - 1, "sent")
    assert len(updates([*trace, other, end(5000)])) == 1


def test_another_misss_fate_is_not_its() -> None:
    assert fated(IcmpFate(at(1000.01), MISS.time - 1, "sent")).icmp.status == "suppressed"


def test_an_icmp_that_did_not_leave_is_why_nobody_was_told() -> None:
    held = IcmpFate(at(1000.01), MISS.time, "rate-limited")
    assert [n.why for n in fated(held).not_told] == ["the ICMP was rate-limited"]
    assert [n.why for n in fated().not_told] == ["the ICMP was suppressed"]
    passed = IcmpFate(at(1000.01), MISS.time, "sent")
    assert [n.why for n in fated(passed).not_told] == ["no error was seen queued on it"]
    loose = sock("10.0.0.9:4000", inode=12, netns=BOX)
    assert [n.why for n in fated(held, view=loose).not_told] == ["unconnected"]


SENDS = ("icmp_push_reply", "icmpv6_push_pending_frames", "sk_error_report")


def untold(*events: Event) -> list[tuple[int, int, bool]]:
    """(count, untold, whether that is all) of each incident, where fates and errors are seen."""
    last: dict[str, Incident] = {}
    for update in updates([header(probes=SENDS), *events, end(600_000)]):
        last[update.incident.id] = update.incident
    return [(i.count, i.untold, i.untold_exact) for i in last.values()]


FATES: tuple[Fate, ...] = ("sent", "rate-limited")


def fate(status: Fate, ms: float = 1000) -> IcmpFate:
    return IcmpFate(at(ms + 0.05), at(ms), status)


def test_a_miss_whose_icmp_never_left_is_told_to_nobody() -> None:
    assert untold(MISS) == [(1, 1, True)]
    assert untold(MISS, fate("rate-limited")) == [(1, 1, True)]
    assert untold(MISS, fate("sent")) == [(1, 0, True)]
    assert untold(MISS, fate("sent"), error(1000.1, SENDER)) == [(1, 0, True)]


def test_repeats_told_to_nobody_are_counted_by_the_kernel() -> None:
    for first in FATES:
        repeats = count(3000, DATAGRAM, 17, since=1000, last=2900, sent=6)
        assert untold(MISS, fate(first), repeats) == [(17, 11, True)]
        assert untold(MISS, fate(first), tick(1500), repeats) == [(17, 11, True)]
        further = count(4000, DATAGRAM, 20, since=1000, last=3900, sent=8)
        assert untold(MISS, fate(first), repeats, further) == [(20, 12, True)]


def test_an_icmp_on_its_way_at_the_reading_is_put_right() -> None:
    early = count(3000, DATAGRAM, 17, since=1000, last=2900, sent=16)
    late = count(4000, DATAGRAM, 17, since=1000, last=2900, sent=17)
    assert untold(MISS, fate("sent"), early, late) == [(17, 0, True)]


def test_a_late_fate_takes_nothing_from_the_kernels_count() -> None:
    repeats = count(3000, DATAGRAM, 17, since=1000, last=2900, sent=6)
    late = replace(fate("sent"), time=at(3500))
    assert untold(MISS, tick(1500), late, repeats) == [(17, 11, True)]
    assert untold(MISS, tick(1500), repeats, late) == [(17, 11, True)]


def test_repeats_whose_fates_are_not_known_make_it_at_least() -> None:
    repeats = count(3000, DATAGRAM, 17, since=1000, last=2900)
    assert untold(MISS, fate("rate-limited"), repeats) == [(17, 1, False)]
    assert untold(count(3000, DATAGRAM, 17, since=1000, last=2900, sent=6)) == [(17, 11, True)]


def test_an_unconnected_sender_is_told_of_none() -> None:
    sender = sock("0.0.0.0:4000", inode=11, netns=BOX)
    there = namespace(1, BOX, "box", "10.0.0.9")
    repeats = count(3000, DATAGRAM, 17, since=1000, last=2900, sent=17)
    assert untold(there, seen(2, sender), MISS, fate("sent"), repeats) == [(17, 17, True)]
    # With IP_RECVERR it is.
    told_all = untold(there, seen(2, sender), MISS, fate("sent"), error(1000.1, sender), repeats)
    assert told_all == [(17, 0, True)]


def test_a_changed_verdict_shares_the_kernels_count() -> None:
    """One key, two incidents: together no more than the kernel counted."""
    wrong = sock("127.0.0.1:53", inode=3)
    events: list[Event] = [
        MISS,
        fate("rate-limited"),
        tick(1500),
        miss(2000, DATAGRAM, wrong, total=2, since=1000),
        fate("sent", 2000),
        tick(2500),
        count(3000, DATAGRAM, 5, since=1000, last=2900, sent=1),
    ]
    assert untold(*events) == [(1, 1, True), (4, 3, True)]


def test_a_refusal_that_came_in_is_not_an_icmp_that_never_left() -> None:
    repeats = replace(count(3000, DATAGRAM, 17, since=1000, last=2900, sent=0), received=True)
    refused = received(1000, DATAGRAM)
    assert untold(seen(1, SENDER), refused, error(1000.1, SENDER), repeats) == [(17, 0, True)]
    sender = sock("0.0.0.0:4000", inode=11)
    assert untold(seen(1, sender), namespace(1, HOST, "host", "10.0.0.9"), refused, repeats) == [
        (17, 17, True)
    ]
