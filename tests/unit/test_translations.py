"""Who is asked for a translation, in which order, and that it stays cheap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.samples import MISS
from tests.unit.fakes import FakeContainers, FakeTracker
from tracer.events import FourTuple, NetnsInfo, Translation
from tracer.lookups import Lookups
from tracer.translations import AGAIN_NS, OTHERS, QUESTIONS, Translations

RECEIVER, OWN, ROUTER = MISS.netns, 1, 500
D = MISS.datagram
ENDS = FourTuple(D.src, D.sport, D.dst, D.dport)
BEFORE = FourTuple("192.0.2.7", 5, "192.0.2.1", 80)


def entry(netns: int, before: FourTuple = BEFORE) -> Translation:
    return Translation(9, "ipv4", ENDS, RECEIVER, netns, 0, before, "original")


class Asker:
    """Translations, with what is known of the namespaces, and a clock."""

    def __init__(self, *others: int) -> None:
        namespaces = (RECEIVER, OWN, ROUTER, *others)
        self.tracker = FakeTracker(OWN, dict.fromkeys(namespaces))
        self.infos: dict[int, NetnsInfo] = {}
        self.translations = Translations(self.tracker, 100)

    def look(self, now: int = 0, port: int = D.dport, **changes: object) -> list[Translation]:
        """One miss and what is found for it."""
        datagram = replace(D, dport=port, **changes)  # type: ignore[arg-type]
        self.translations.want(replace(MISS, datagram=datagram))
        return self.translations.look(self.infos.get, now)

    def asked(self) -> list[int]:
        asked, self.tracker.asked = self.tracker.asked, []
        return asked


def test_the_receiver_then_we_ourselves_then_others() -> None:
    asker = Asker()
    assert asker.look() == []
    assert asker.asked() == [RECEIVER, OWN, ROUTER]


@pytest.mark.parametrize("netns", [RECEIVER, OWN, ROUTER])
def test_the_first_that_translates_is_the_answer(netns: int) -> None:
    asker = Asker()
    asker.tracker.known[netns] = entry(netns)
    assert asker.look() == [entry(netns)]
    assert asker.asked()[-1] == netns


def test_an_entry_that_translates_nothing_does_not_end_the_search() -> None:
    """A container's own firewall tracks what the host has translated before."""
    asker = Asker()
    asker.tracker.known[RECEIVER] = entry(RECEIVER, ENDS)
    asker.tracker.known[OWN] = entry(OWN)
    assert asker.look() == [entry(OWN)]


def test_without_a_translation_the_receivers_entry_is_told_and_no_other() -> None:
    asker = Asker()
    asker.tracker.known[ROUTER] = entry(ROUTER, ENDS)
    assert asker.look() == []
    asker.tracker.known[RECEIVER] = entry(RECEIVER, ENDS)
    assert asker.look(AGAIN_NS) == [entry(RECEIVER, ENDS)]


def test_where_nothing_is_tracked_nobody_is_asked() -> None:
    asker = Asker()
    asker.tracker.tracking = False
    assert asker.look() == []
    assert asker.asked() == []


@pytest.mark.parametrize("ifname", ["lo", ""])
def test_what_came_by_loopback_was_translated_in_the_same_namespace(ifname: str) -> None:
    asker = Asker()
    asker.look(ifname=ifname)
    assert asker.asked() == [RECEIVER]


def test_a_flow_is_asked_for_once_a_second() -> None:
    asker = Asker()
    asker.look(0)
    asker.asked()
    asker.look(AGAIN_NS - 1)
    assert asker.asked() == []
    asker.look(AGAIN_NS)
    assert asker.asked() == [RECEIVER, OWN, ROUTER]


def test_of_one_poll_each_flow_is_asked_for_once() -> None:
    asker = Asker()
    asker.translations.want(MISS)
    asker.look()
    assert asker.asked() == [RECEIVER, OWN, ROUTER]


def test_likely_others_first() -> None:
    """Who holds the source (masquerade), then who has many links; a bounded number."""
    asker = Asker(*range(600, 700))
    links = tuple((n, f"eth{n}") for n in range(5))
    asker.infos[650] = NetnsInfo(1, 650, 0, None, (D.src,), links[:2])
    asker.infos[660] = NetnsInfo(1, 660, 0, None, (), links)
    asker.infos[670] = NetnsInfo(1, 670, 0, None, (), links[:2])
    asker.look()
    asked = asker.asked()
    assert asked[2:4] == [650, 660]
    assert 670 not in asked
    assert len(asked) == 2 + OTHERS


def test_who_has_translated_is_asked_early() -> None:
    asker = Asker(*range(400, 440))
    asker.infos[ROUTER] = NetnsInfo(1, ROUTER, 0, None, (D.src,), ())
    asker.tracker.known[ROUTER] = entry(ROUTER)
    asker.look()
    asker.infos.clear()
    asker.asked()
    assert asker.look(port=1) == [entry(ROUTER)]
    assert asker.asked() == [RECEIVER, OWN, ROUTER]


def test_a_namespace_that_is_gone_costs_nothing() -> None:
    asker = Asker()
    del asker.tracker.known[RECEIVER], asker.tracker.known[OWN]
    asker.tracker.known[ROUTER] = entry(ROUTER)
    assert asker.look() == [entry(ROUTER)]


def test_a_scan_costs_a_bounded_number_of_questions() -> None:
    asker = Asker(*range(600, 700))
    for port in range(1, 5000):
        asker.look(port % 7, port=port)
    assert QUESTIONS <= len(asker.asked()) <= QUESTIONS + OTHERS
    for port in range(5000, 9000):
        asker.translations.want(replace(MISS, datagram=replace(D, dport=port)))
    asker.translations.look(asker.infos.get, 2 * AGAIN_NS)
    assert QUESTIONS <= len(asker.asked()) <= QUESTIONS + OTHERS


def test_a_scan_does_not_use_up_all_on_other_namespaces() -> None:
    asker = Asker(*range(600, 700))
    flows = 0
    while len(asker.tracker.asked) < QUESTIONS:
        flows += 1
        asker.look(port=flows)
    assert flows > QUESTIONS // 4


def test_a_namespace_that_translates_is_looked_at_for_its_name() -> None:
    """No socket and no miss has led to a router's."""

    class Directory:
        tracker = FakeTracker(OWN, {RECEIVER: None, ROUTER: entry(ROUTER)})
        containers = FakeContainers()

        def netns(self, inum: int, hint_pids: object) -> NetnsInfo:
            return NetnsInfo(1, inum, 0, f"n{inum}", (), ())

        def is_named(self, inum: int, name: str) -> bool:
            return True

        def owners(self, inodes: object, hint_pids: object) -> list[object]:
            return []

    lookups = Lookups(Directory())  # type: ignore[arg-type]
    lookups.note(replace(MISS, walk=None))
    assert lookups.owed
    first, *infos = lookups.events(0)
    assert first == entry(ROUTER)
    assert {info.name for info in infos if isinstance(info, NetnsInfo)} == {
        f"n{ROUTER}",
        f"n{RECEIVER}",
    }
