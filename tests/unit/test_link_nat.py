"""Through a translation: the ends before, the sender, who was told, and what to do."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    NO_CONTAINER,
    OTHER,
    at,
    bind,
    close,
    connect,
    count,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    nat,
    owners,
    received,
    seen,
    sock,
    task,
    tick,
)
from tests.unit.linking import incidents, only, updates
from tests.unit.test_render_text import body
from tracer.events import Event
from tracer.incident import Incident
from tracer.link import Linker
from tracer.totals import Limits

# A client in OTHER asks the host's published port, which leads into BOX.
DATAGRAM = gram("10.0.0.9:4000", "172.17.0.2:53")
MISS = miss(1000, DATAGRAM, netns=BOX)
CLIENT = sock("10.0.0.9:4000", "192.0.2.1:8053", inode=11, netns=OTHER)
ROUTER = namespace(1, HOST, "host", "192.0.2.1", "172.17.0.1")


DNAT = nat(1001, DATAGRAM, "10.0.0.9:4000", "192.0.2.1:8053")


def told(incident: Incident) -> list[int]:
    return [t.socket.inode for t in incident.told]


def sender(incident: Incident) -> int | None:
    return incident.origin.inode if incident.origin else None


def test_the_ends_before_and_who_translated() -> None:
    incident = only(ROUTER, MISS, DNAT)
    assert incident.to_json()["nat"] == {
        "src": "10.0.0.9",
        "sport": 4000,
        "dst": "192.0.2.1",
        "dport": 8053,
        "netns": {"inum": HOST, "cookie": "1", "name": "host", **NO_CONTAINER},
        "direction": "original",
    }


def test_an_entry_that_translates_nothing_is_no_nat() -> None:
    plain = nat(1001, DATAGRAM, "10.0.0.9:4000", "172.17.0.2:53", netns=BOX)
    incident = only(MISS, plain)
    assert incident.nat is None
    assert incident == only(MISS)


def test_the_sender_is_found_by_what_it_sent() -> None:
    incident = only(seen(1, CLIENT), MISS, DNAT)
    assert sender(incident) == 11
    assert [n.why for n in incident.not_told] == ["no error was seen queued on it"]
    assert [n.why for n in only(seen(1, CLIENT), MISS).not_told] == ["connected to another peer"]
    assert sender(only(MISS, DNAT, seen(1002, CLIENT))) == 11


def test_masquerade_the_sender_is_not_who_has_the_address_by_now() -> None:
    arrived = gram("172.17.0.1:4000", "172.17.0.2:53")
    lookalike = sock("172.17.0.1:4000", inode=12, netns=HOST)
    loose = sock("10.0.0.9:4000", inode=13, netns=OTHER)
    came = miss(1000, arrived, netns=BOX)
    snat = nat(1001, arrived, "10.0.0.9:4000", "172.17.0.2:53")
    events: list[Event] = [ROUTER, seen(1, lookalike), seen(1, loose), came]
    assert sender(only(*events)) == 12
    assert sender(only(*events, snat)) == 13
    assert [n.why for n in only(*events, snat).not_told] == ["unconnected"]


def test_who_was_told_before_the_translation_was_known() -> None:
    incident = only(seen(1, CLIENT), MISS, error(1000.1, CLIENT), DNAT)
    assert told(incident) == [11]
    assert incident.not_told == ()


def test_who_was_told_after_the_translation_was_known() -> None:
    assert told(only(seen(1, CLIENT), MISS, DNAT, error(1001.1, CLIENT))) == [11]


def test_lookalikes_were_not_told_of_it() -> None:
    other = sock("10.0.0.9:4001", "192.0.2.1:8053", inode=14, netns=OTHER)
    assert told(only(MISS, error(1000.1, other), DNAT)) == []
    assert told(only(MISS, error(999, CLIENT), DNAT)) == []


def test_an_unconnected_sender_told_before_the_translation_was_known() -> None:
    """Its address and port are not the datagram's any more."""
    arrived = gram("172.17.0.1:4444", "172.17.0.2:53")
    loose = sock("0.0.0.0:4000", inode=15, netns=OTHER)
    there = namespace(1, OTHER, "other", "10.0.0.9")
    snat = nat(1001, arrived, "10.0.0.9:4000", "172.17.0.2:53")
    came = miss(1000, arrived, netns=BOX)
    incident = only(there, seen(1, loose), came, error(1000.1, loose), snat)
    assert told(incident) == [15]
    elsewhere = namespace(1, OTHER, "other", "10.0.0.8")
    assert told(only(elsewhere, seen(1, loose), came, error(1000.1, loose), snat)) == []


def test_the_icmp_that_comes_in_is_not_another_machines() -> None:
    asked = gram("10.0.0.9:4000", "192.0.2.1:8053")
    came_in = received(1000.05, asked, sender="192.0.2.1", netns=OTHER)
    events: list[Event] = [header(), seen(1, CLIENT), MISS, came_in, error(1000.1, CLIENT), DNAT]
    first, *_ = updates([*events, end(9000)])
    assert first.incident.nat is not None
    assert told(first.incident) == [11]
    assert len(incidents(*events[1:], error(1002, CLIENT))) == 1


def test_an_answer_is_found_by_the_answerer() -> None:
    answer = gram("192.0.2.1:8053", "10.0.0.9:4000")
    server = sock("172.17.0.2:53", "10.0.0.9:4000", inode=16, netns=BOX)
    back = nat(1001, answer, "172.17.0.2:53", "10.0.0.9:4000", receiver=OTHER, reply=True)
    came = miss(1000, answer, netns=OTHER)
    incident = only(seen(1, server), came, error(1000.1, server), back)
    assert (sender(incident), told(incident)) == (16, [16])
    assert incident.nat is not None
    assert incident.nat.direction == "reply"
    assert not [advice for advice in incident.advice if "conntrack" in advice]


def test_a_socket_that_sends_just_that_without_nat_is_better_evidence() -> None:
    """The entry is of other namespaces with the same addresses."""
    straight = sock("10.0.0.9:4000", "172.17.0.2:53", inode=17, netns=OTHER)
    incident = only(seen(1, straight), seen(1, CLIENT), MISS, DNAT)
    assert incident.nat is None
    assert sender(incident) == 17
    # Within the receiver's namespace there is no other.
    local = replace(DNAT, netns=BOX)
    assert only(seen(1, straight), seen(1, CLIENT), MISS, local).nat is not None


def test_the_same_ends_at_another_receiver_are_not_meant() -> None:
    first, second = incidents(MISS, miss(1000.5, DATAGRAM, netns=HOST), DNAT)
    assert first.nat is not None
    assert second.nat is None


def test_a_translation_that_comes_late_is_told_with_the_next_update() -> None:
    events: list[Event] = [
        header(),
        seen(1, CLIENT),
        MISS,
        tick(1300),
        replace(DNAT, time=at(1301)),
    ]
    first, second = updates([*events, tick(5000), end(9000)])
    assert first.incident.nat is None
    assert second.incident.nat is not None
    assert sender(second.incident) == 11


def test_a_repeat_with_another_verdict_just_after_is_translated_alike() -> None:
    refusing = sock("127.0.0.1:53", inode=18, netns=BOX)
    again = miss(1500, DATAGRAM, refusing, netns=BOX, total=2, since=1000)
    late = miss(5000, DATAGRAM, netns=BOX, total=3, since=1000)
    first, second, third = incidents(MISS, DNAT, again, late)
    assert first.nat == second.nat is not None
    assert third.nat is None


def test_another_senders_repeat_is_another_incident() -> None:
    """Masquerade has given its port to another client."""
    arrived = gram("172.17.0.1:4444", "172.17.0.2:53")
    first, second = incidents(
        miss(1000, arrived, netns=BOX),
        nat(1001, arrived, "10.0.0.9:4000", "172.17.0.2:53"),
        miss(5000, arrived, netns=BOX, total=2, since=1000),
        nat(5001, arrived, "10.0.0.8:4000", "172.17.0.2:53"),
    )
    assert (first.count, second.count) == (1, 1)
    assert [i.nat and i.nat.src for i in (first, second)] == ["10.0.0.9", "10.0.0.8"]


def test_repeats_of_one_sender_are_one_incident() -> None:
    again = miss(5000, DATAGRAM, netns=BOX, total=3, since=1000)
    incident = only(MISS, DNAT, count(3000, DATAGRAM, 2, since=1000, netns=BOX), again)
    assert (incident.count, incident.nat is not None) == (3, True)


def test_a_translation_looked_up_for_a_repeat_is_the_incidents() -> None:
    again = miss(5000, DATAGRAM, netns=BOX, total=2, since=1000)
    late = replace(DNAT, time=at(5001))
    first, *_, last = updates([header(), seen(1, CLIENT), MISS, again, late, end(9000)])
    assert first.incident.nat is None
    assert last.incident.nat is not None
    assert (last.incident.count, sender(last.incident)) == (2, 11)
    # With another verdict it is of the new incident alone.
    again = miss(5000, DATAGRAM, sock("127.0.0.1:53", netns=BOX), netns=BOX, total=2, since=1000)
    first_of, second_of = incidents(seen(1, CLIENT), MISS, again, late)
    assert first_of.nat is None
    assert second_of.nat is not None


def test_memory_is_bounded() -> None:
    linker = Linker(limits=Limits(incidents=5))
    trace: list[Event] = [header()]
    for port in range(1, 200):
        datagram = gram(f"10.0.0.9:{port}", "172.17.0.2:53")
        trace.append(miss(1000 + port, datagram, netns=BOX))
        trace.append(nat(1000 + port, datagram, f"10.0.0.9:{port}", "192.0.2.1:8053"))
        trace.append(nat(1000 + port, datagram, f"10.0.0.7:{port}", "192.0.2.1:8053"))
    assert len(updates(trace, linker)) > 100
    assert len(linker._episodes._flows) <= 2 * 5


# Words


def test_the_text() -> None:
    assert body(ROUTER, seen(1, CLIENT), MISS, DNAT)[:5] == [
        f"12:03:01.000 no-socket       10.0.0.9:4000 > 172.17.0.2:53  netns {BOX}",
        "  before NAT  10.0.0.9:4000 > 192.0.2.1:8053  translated in netns host",
        f"  why         nothing holds UDP port 53 in netns {BOX}",
        "  sent by     process unknown  10.0.0.9:4000 -> 192.0.2.1:8053 ESTAB",
        f"              netns {OTHER}",
    ]


def test_the_text_of_a_sender_elsewhere() -> None:
    assert "  sent by     no socket of 10.0.0.9:4000 known on this machine" in body(MISS, DNAT)
    assert "  sent by     no socket known on this machine" in body(MISS)


def test_a_translation_known_later_is_printed_with_the_repeat() -> None:
    again = count(3000, DATAGRAM, 2, since=1000, netns=BOX)
    lines = body(MISS, tick(1300), again, replace(DNAT, time=at(3001)), tick(9000))
    line = "  before NAT  10.0.0.9:4000 > 192.0.2.1:8053  translated in"
    assert [text for text in lines if text.startswith(line)]


def conntrack(incident: Incident) -> list[str]:
    return [text for text in (*incident.advice, *incident.hints) if "conntrack" in text]


def test_a_translation_goes_on_where_the_service_has_moved() -> None:
    (advice,) = conntrack(only(ROUTER, MISS, DNAT))
    assert advice == (
        "conntrack goes on translating 192.0.2.1:8053 to 172.17.0.2:53 for this flow, whatever the "
        "rules say by now: if the service has moved, "
        "conntrack -D -p udp --orig-dst 192.0.2.1 --orig-port-dst 8053"
    )
    held = sock("0.0.0.0:53", inode=20, netns=BOX)
    assert advice in only(ROUTER, close(900, held), MISS, DNAT).advice


def test_the_command_is_for_the_namespace_that_translates() -> None:
    named = namespace(1, OTHER, "router", "192.0.2.1")
    (advice,) = conntrack(only(named, MISS, replace(DNAT, netns=OTHER, netns_cookie=9)))
    assert "if the service has moved, ip netns exec router conntrack -D" in advice
    (advice,) = conntrack(only(MISS, replace(DNAT, netns=OTHER, netns_cookie=9)))
    assert advice.endswith("--orig-port-dst 8053 (in its netns)")


def test_no_such_advice_where_a_socket_refuses() -> None:
    refusing = sock("127.0.0.1:53", inode=18, netns=BOX)
    assert conntrack(only(ROUTER, miss(1000, DATAGRAM, refusing, netns=BOX), DNAT)) == []


def test_ipv6_is_named_to_the_command() -> None:
    six = gram("[fd00::9]:4000", "[fd00::2]:53")
    event = nat(1001, six, "[fd00::9]:4000", "[2001:db8::1]:8053")
    (advice,) = conntrack(only(ROUTER, miss(1000, six, netns=BOX), event))
    assert "conntrack -D -f ipv6 -p udp --orig-dst 2001:db8::1 --orig-port-dst 8053" in advice


# A flow that is not translated, on the host, whose port 8053 leads into BOX

STRAIGHT = gram("10.0.0.9:4000", "192.0.2.1:8053")
MISSED = miss(1000, STRAIGHT)
PLAIN = nat(1001, STRAIGHT, "10.0.0.9:4000", "192.0.2.1:8053", receiver=HOST)
FORGET = "conntrack -D -p udp --orig-dst 192.0.2.1 --orig-port-dst 8053"


def test_a_flow_older_than_a_rule_that_others_go_by() -> None:
    another = gram("10.0.0.8:4000", "172.17.0.2:53")
    others: list[Event] = [
        miss(500, another, netns=BOX),
        nat(501, another, "10.0.0.8:4000", "192.0.2.1:8053"),
    ]
    _, incident = incidents(ROUTER, *others, MISSED, PLAIN)
    assert incident.hints[-1] == (
        "others' datagrams to 192.0.2.1:8053 are translated to 172.17.0.2:53 in netns host, this "
        f"flow's are not: if it began before the rule was there, {FORGET} has it begin anew"
    )
    # Where it is not tracked, nothing is known of it.
    _, incident = incidents(ROUTER, *others, MISSED)
    assert conntrack(incident) == []


def test_a_flow_older_than_the_publishing_of_a_container_on_that_port() -> None:
    served = sock("0.0.0.0:8053", inode=19, netns=BOX, bound=True)
    known: list[Event] = [ROUTER, namespace(1, BOX, "web", "172.17.0.2"), seen(1, served)]
    (hint,) = conntrack(only(*known, owners(2, 19, (77, "named", 3)), MISSED, PLAIN))
    assert hint == (
        "if named[77] on 0.0.0.0:8053 in netns web was meant and its port was published after this "
        f"flow began, the flow goes on untranslated until {FORGET}"
    )
    assert conntrack(only(*known, MISSED)) == []
    assert conntrack(only(*known, close(900, served), MISSED, PLAIN)) == []
    back = replace(PLAIN, direction="reply")
    assert conntrack(only(*known, MISSED, back)) == []


def test_lookalikes_of_a_published_container() -> None:
    for view in (
        sock("127.0.0.1:8053", inode=19, netns=BOX, bound=True),
        sock("0.0.0.0:8053", inode=19, netns=BOX, bound=False),
        sock("0.0.0.0:8054", inode=19, netns=BOX, bound=True),
        sock("192.0.2.1:8053", "10.0.0.1:1", inode=19, netns=BOX, bound=True),
    ):
        assert conntrack(only(ROUTER, seen(1, view), MISSED, PLAIN)) == []


# A socket that refuses what the translation has changed


def test_a_socket_connected_to_the_address_before_masquerade() -> None:
    arrived = gram("172.17.0.1:4444", "172.17.0.2:53")
    tied = sock("172.17.0.2:53", "10.0.0.9:4000", inode=20, netns=BOX)
    snat = nat(1001, arrived, "10.0.0.9:4000", "172.17.0.2:53")
    incident = only(ROUTER, miss(1000, arrived, tied, netns=BOX), snat)
    assert incident.hints == (
        "as it was sent its remote-address and remote-port would have been right: NAT in netns "
        "host changed it",
    )
    same_port = replace(arrived, sport=4000)
    snat = nat(1001, same_port, "10.0.0.9:4000", "172.17.0.2:53")
    (advice,) = only(ROUTER, miss(1000, same_port, tied, netns=BOX), snat).advice
    assert advice == (
        "netns host translates 10.0.0.9:4000 to 172.17.0.1:4000: leave the socket unconnected, "
        "connect() it to what arrives, or exempt these from masquerading"
    )
    # A peer that is neither: nothing of the kind.
    other = sock("172.17.0.2:53", "10.0.0.7:4000", inode=21, netns=BOX)
    assert only(ROUTER, miss(1000, same_port, other, netns=BOX), snat).hints == ()


def test_a_socket_bound_to_the_address_before_the_redirection() -> None:
    bound = sock("192.0.2.1:53", inode=20, netns=BOX, bound=True, addr_lock=True)
    incident = only(ROUTER, miss(1000, DATAGRAM, bound, netns=BOX), DNAT)
    assert incident.hints == (
        "as it was sent its local-address would have been right: NAT in netns host changed it",
    )


# A relay

PROXY = task(88, "docker-proxy")
FRONT = sock("192.0.2.1:8053", inode=30, bound=True)
BACK = sock("172.17.0.1:5555", "172.17.0.2:53", inode=31, bound=False)
RELAYED = miss(1000, gram("172.17.0.1:5555", "172.17.0.2:53"), netns=BOX)


def relayed(*events: Event) -> list[str]:
    return [hint for hint in only(*events, RELAYED).hints if "relay" in hint]


def test_a_relay_that_was_there_before() -> None:
    held: list[Event] = [seen(1, FRONT), seen(1, BACK)]
    held += [owners(2, inode, (88, "docker-proxy", fd)) for fd, inode in enumerate((30, 31))]
    assert relayed(*held) == [
        "the sender calls itself docker-proxy: a relay for clients of 192.0.2.1:8053, who are told "
        "nothing"
    ]
    assert relayed(*held, close(900, FRONT)) == [
        "the sender calls itself docker-proxy: a relay for clients not known here, who are told "
        "nothing"
    ]


def test_a_relay_that_began_meanwhile() -> None:
    began: list[Event] = [bind(1, FRONT, by=PROXY), connect(2, BACK, BACK, by=PROXY)]
    assert "clients of 192.0.2.1:8053," in relayed(*began)[0]


def test_lookalikes_of_a_relay() -> None:
    named = [bind(1, FRONT, by=task(88, "named")), connect(2, BACK, BACK, by=task(88, "named"))]
    assert relayed(*named) == []
    another = [bind(1, FRONT, by=task(89, "docker-proxy")), connect(2, BACK, BACK, by=PROXY)]
    assert "clients not known here" in relayed(*another)[0]


def test_a_relay_has_few_fronts_remembered() -> None:
    many = [
        bind(1, sock(f"192.0.2.1:{port}", inode=port, bound=True), by=PROXY)
        for port in range(1000, 1100)
    ]
    (hint,) = relayed(*many, connect(2, BACK, BACK, by=PROXY))
    assert hint.count("192.0.2.1:") == 8


def test_the_json_of_all_this_is_json() -> None:
    assert json.loads(json.dumps(only(ROUTER, MISS, DNAT).to_json()))["nat"]["dport"] == 8053
