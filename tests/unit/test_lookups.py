"""Look-ups: each thing once, again when it may have changed, and never without bound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from tests.samples import EVENTS, MISS, SOCKET, SOCKET6, TASK
from tests.unit.fakes import FakeContainers, FakeTracker
from tracer.events import (
    Call,
    Close,
    Event,
    Holder,
    Miss,
    NetnsInfo,
    Owners,
    PortDump,
    PortRange,
    SockError,
)
from tracer.lookups import REFRESH_NS, Lookups

NETNS = SOCKET.netns
CALL = next(event for event in EVENTS if isinstance(event, Call))


class FakeDirectory:
    """A machine whose namespaces and owners are given."""

    def __init__(self) -> None:
        self.tracker = FakeTracker()
        self.containers = FakeContainers()
        self.infos: dict[int, NetnsInfo] = {}
        self.ranges: dict[int, PortRange] = {}
        self.known_owners: dict[int, tuple[Holder, ...]] = {}
        self.asked: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []

    def netns(self, inum: int, hint_pids: Iterable[int]) -> NetnsInfo | None:
        self.asked.append(("netns", (inum,), tuple(hint_pids)))
        return self.infos.get(inum)

    def port_range(self, inum: int, hint_pids: Iterable[int]) -> PortRange | None:
        self.asked.append(("range", (inum,), tuple(hint_pids)))
        return self.ranges.get(inum)

    def is_named(self, inum: int, name: str) -> bool:
        return inum in self.infos and self.infos[inum].name == name

    def owners(self, inodes: Iterable[int], hint_pids: Iterable[int]) -> list[Owners]:
        inodes = tuple(inodes)
        self.asked.append(("owners", inodes, tuple(hint_pids)))
        known = self.known_owners
        return [Owners(9, inode, known[inode]) for inode in inodes if inode in known]


class Machine:
    """A directory, its look-ups, and the loop around them."""

    def __init__(self) -> None:
        self.directory = FakeDirectory()
        self.lookups = Lookups(self.directory)

    def see(self, event: Event, now: int = 0) -> list[Event]:
        """Note an event and what is looked up for it, as the trace does."""
        self.lookups.note(event)
        return self.look(now)

    def look(self, now: int) -> list[Event]:
        found = self.lookups.events(now)
        for event in found:
            self.lookups.note(event)
        return found

    def asked(self) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
        """What was asked for since the last time."""
        asked, self.directory.asked = self.directory.asked, []
        return asked


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.directory.infos[NETNS] = _info()
    return machine


def _info(**changes: object) -> NetnsInfo:
    info = NetnsInfo(time=1, inum=NETNS, cookie=7, name="web", addresses=("::1",), links=())
    return replace(info, **changes)  # type: ignore[arg-type]


def _miss(**changes: object) -> Miss:
    return replace(MISS, **changes)  # type: ignore[arg-type]


def test_a_new_namespace_is_looked_up_once_through_its_process(machine: Machine) -> None:
    assert machine.see(CALL) == [_info()]
    assert machine.asked() == [("netns", (NETNS,), (TASK.pid,))]
    assert machine.see(CALL, 2 * REFRESH_NS) == []
    assert machine.asked() == []


def test_a_reused_namespace_number_is_looked_up_again(machine: Machine) -> None:
    machine.see(CALL)
    machine.directory.infos[NETNS] = _info(cookie=8, name=None)
    later = replace(CALL, after=replace(SOCKET, netns_cookie=8))
    assert machine.see(later, REFRESH_NS) == [_info(cookie=8, name=None)]


def test_a_namespace_that_cannot_be_found_is_given_up(machine: Machine) -> None:
    machine.directory.infos.clear()
    for second in range(10):
        assert machine.see(CALL, second * REFRESH_NS) == []
    assert len(machine.asked()) == 3


def test_a_miss_has_the_namespace_looked_at_again_but_not_often(machine: Machine) -> None:
    machine.directory.known_owners = {SOCKET.inode: (), SOCKET6.inode: ()}
    machine.see(_miss(), 0)
    machine.asked()
    assert machine.see(_miss(), 1) == []
    assert machine.asked() == []
    changed = _info(time=5, addresses=("::1", "10.0.0.1"))
    machine.directory.infos[NETNS] = changed
    assert machine.look(REFRESH_NS) == [changed]
    assert machine.see(_miss(), 3 * REFRESH_NS) == []  # looked at, and nothing new
    assert [what for what, *_ in machine.asked()] == ["netns", "netns"]


def test_all_namespaces_can_be_looked_at_again(machine: Machine) -> None:
    machine.see(CALL)
    machine.directory.infos[NETNS] = _info(links=((2, "eth0"),))
    machine.lookups.refresh_namespaces()
    assert machine.look(REFRESH_NS) == [_info(links=((2, "eth0"),))]


def test_the_owners_of_a_walk_s_sockets(machine: Machine) -> None:
    machine.see(CALL)
    machine.asked()
    holders = (Holder(1, "nc", 3),)
    machine.directory.known_owners = {SOCKET.inode: holders, SOCKET6.inode: ()}
    assert machine.see(_miss()) == [
        Owners(9, SOCKET.inode, holders),
        Owners(9, SOCKET6.inode, ()),
    ]
    assert machine.asked() == [("owners", (SOCKET.inode, SOCKET6.inode), (TASK.pid,))]
    assert machine.see(_miss()) == []
    assert machine.see(SockError(time=3, socket=SOCKET, errno=111)) == []
    assert machine.asked() == []


def test_the_owners_of_the_nearest_sockets_that_were_read(machine: Machine) -> None:
    crowd = tuple(replace(SOCKET, inode=inode) for inode in range(1, 100))
    dump = PortDump(1, 1, 1, NETNS, 7, 53, 99, crowd, None)
    machine.lookups.note(dump)
    machine.look(0)
    wanted = next(inodes for what, inodes, _ in machine.asked() if what == "owners")
    assert wanted == tuple(range(1, 17))


def test_owners_not_found_at_once_are_asked_for_again_without_the_hint(machine: Machine) -> None:
    machine.see(CALL)
    machine.asked()
    told = SockError(time=3, socket=SOCKET, errno=111)
    assert machine.see(told) == []
    assert machine.look(0) == []
    assert machine.asked() == [
        ("owners", (SOCKET.inode,), (TASK.pid,)),
        ("owners", (SOCKET.inode,), ()),
    ]
    machine.directory.known_owners[SOCKET.inode] = ()
    assert machine.look(0) == [Owners(9, SOCKET.inode, ())]
    machine.asked()
    assert machine.look(0) == []
    assert machine.asked() == []


def test_a_closed_socket_s_inode_is_forgotten(machine: Machine) -> None:
    machine.directory.known_owners[SOCKET.inode] = ()
    told = SockError(time=3, socket=SOCKET, errno=111)
    assert len(machine.see(told)) == 2
    machine.see(Close(time=4, task=TASK, socket=SOCKET))
    assert machine.see(told) == [Owners(9, SOCKET.inode, ())]


def test_a_snapshot_needs_no_look_up(machine: Machine) -> None:
    for event in (_info(), Owners(1, SOCKET.inode, ()), Owners(1, SOCKET6.inode, ())):
        machine.lookups.note(event)
    assert machine.see(CALL) == []
    assert machine.see(_miss(walk=None)) == []
    assert machine.see(_miss()) == []


def test_memory_is_bounded(machine: Machine) -> None:
    machine.lookups = Lookups(machine.directory, limit=10)
    for inode in range(1, 100):
        machine.see(SockError(time=3, socket=replace(SOCKET, inode=inode), errno=111))
    machine.asked()
    machine.look(0)
    assert machine.asked() == [("owners", tuple(range(90, 100)), ())]


def test_a_reused_number_without_cookies_is_told_by_its_name() -> None:
    """As on 5.10: the look-up must not wait, or the earlier one's name would be shown."""
    machine = Machine()
    machine.directory.infos[NETNS] = _info(cookie=0, name="gone")
    call = replace(CALL, after=replace(SOCKET, netns_cookie=0))
    assert machine.see(call) == [_info(cookie=0, name="gone")]
    assert machine.see(call) == []
    machine.directory.infos[NETNS] = _info(cookie=0, name="new")
    assert machine.see(call) == [_info(cookie=0, name="new")]


def test_without_cookies_a_successor_is_not_taken_before_it_is_met() -> None:
    """A look-up of the earlier one was due, and the later one is still being set up."""
    machine = Machine()
    machine.directory.infos[NETNS] = _info(cookie=0, name="gone")
    call = replace(CALL, after=replace(SOCKET, netns_cookie=0))
    assert machine.see(call) == [_info(cookie=0, name="gone")]
    machine.directory.infos[NETNS] = _info(cookie=0, name="new", addresses=())
    machine.lookups.refresh_namespaces()
    assert machine.look(REFRESH_NS) == []
    machine.directory.infos[NETNS] = whole = _info(cookie=0, name="new")
    assert machine.see(call, REFRESH_NS + 1) == [whole]


def test_without_cookies_a_successor_is_found_though_its_forebear_was_given_up() -> None:
    """A router has no sockets: the first that is heard of it is a miss."""
    machine = Machine()
    machine.directory.infos[NETNS] = _info(cookie=0, name="gone")
    call = replace(CALL, after=replace(SOCKET, netns_cookie=0))
    machine.see(call)
    del machine.directory.infos[NETNS]
    for second in range(1, 5):
        machine.lookups.refresh_namespaces()
        machine.look(second * REFRESH_NS)
    machine.directory.infos[NETNS] = new = _info(cookie=0, name="new")
    miss = replace(MISS, netns=NETNS, netns_cookie=0)
    assert new in machine.see(miss, 9 * REFRESH_NS)


def test_a_reused_number_is_told_by_its_cookie_at_once() -> None:
    machine = Machine()
    machine.directory.infos[NETNS] = _info(cookie=7, name="gone")
    assert machine.see(replace(CALL, after=replace(SOCKET, netns_cookie=7))) != []
    machine.directory.infos[NETNS] = _info(cookie=8, name="new")
    later = replace(CALL, after=replace(SOCKET, netns_cookie=8))
    assert machine.see(later) == [_info(cookie=8, name="new")]


# Sockets that are passed on

HELD = (Holder(pid=12, comm="parent", fd=3, start_ns=5),)
PASSED_ON = (Holder(pid=13, comm="child", fd=3, start_ns=6),)


def _owner_questions(machine: Machine) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [question[1:] for question in machine.asked() if question[0] == "owners"]


def _one_candidate(time: int) -> Miss:
    assert MISS.walk is not None
    return _miss(time=time, walk=replace(MISS.walk, candidates=(SOCKET,)))


def test_the_owners_of_a_socket_that_goes_on_refusing_are_looked_at_again(
    machine: Machine,
) -> None:
    machine.directory.known_owners = {SOCKET.inode: HELD}
    assert Owners(9, SOCKET.inode, HELD) in machine.see(_one_candidate(10))
    _owner_questions(machine)
    assert machine.see(_one_candidate(20)) == []
    assert _owner_questions(machine) == []
    # Looked at, by those who held it, and nothing new: no event.
    assert machine.see(_one_candidate(9 + REFRESH_NS)) == []
    assert _owner_questions(machine) == [((SOCKET.inode,), (12,))]
    machine.directory.known_owners = {SOCKET.inode: PASSED_ON}
    assert machine.see(_one_candidate(9 + 2 * REFRESH_NS)) == [Owners(9, SOCKET.inode, PASSED_ON)]


def test_a_call_by_somebody_else_has_the_owners_looked_at_again(machine: Machine) -> None:
    machine.directory.known_owners = {SOCKET.inode: HELD}
    machine.see(_one_candidate(10))
    machine.see(replace(CALL, task=replace(TASK, pid=12)))
    machine.asked()
    machine.see(_one_candidate(11))
    assert _owner_questions(machine) == []
    machine.see(replace(CALL, task=replace(TASK, pid=13)))
    machine.see(_one_candidate(12))
    assert _owner_questions(machine) == [((SOCKET.inode,), (13,))]


def test_a_socket_that_nobody_holds_is_not_looked_for_all_the_time(machine: Machine) -> None:
    machine.directory.known_owners = {SOCKET.inode: ()}
    machine.see(_one_candidate(10))
    machine.asked()
    machine.see(_one_candidate(10 + 5 * REFRESH_NS))
    assert _owner_questions(machine) == []


def test_a_crowd_of_sockets_is_looked_up_once(machine: Machine) -> None:
    crowd = tuple(replace(SOCKET, inode=1000 + n) for n in range(17))
    machine.directory.known_owners = {view.inode: HELD for view in crowd}
    assert MISS.walk is not None
    for time in (10, 10 + 5 * REFRESH_NS):
        machine.see(_miss(time=time, walk=replace(MISS.walk, candidates=crowd)))
    assert len(_owner_questions(machine)) == 1


# Numbers in use again, and what has changed


def test_the_next_namespace_of_a_number_is_not_looked_at_before_it_is_met() -> None:
    """Its links may not be there yet, and what is found then would stand for a second."""
    machine = Machine()
    machine.directory.infos[NETNS] = _info(cookie=7, name="old")
    machine.see(_miss(walk=None), 0)
    machine.see(_miss(walk=None), 1)  # due again, in a second
    machine.directory.infos[NETNS] = _info(cookie=8, name="new")
    assert machine.look(REFRESH_NS) == []
    machine.directory.infos[NETNS] = _info(cookie=8, name="new", links=((2, "eth0"),))
    later = replace(CALL, after=replace(SOCKET, netns_cookie=8))
    assert machine.see(later, REFRESH_NS + 1) == [machine.directory.infos[NETNS]]


def test_a_number_that_was_given_up_is_looked_for_when_another_namespace_has_it() -> None:
    machine = Machine()
    for second in range(10):
        machine.see(CALL, second * REFRESH_NS)
    machine.directory.infos[NETNS] = _info(cookie=8)
    later = replace(CALL, after=replace(SOCKET, netns_cookie=8))
    assert machine.see(later, 10 * REFRESH_NS) == [_info(cookie=8)]


def test_an_interface_that_is_not_known_has_the_namespace_looked_at_at_once() -> None:
    machine = Machine()
    machine.directory.infos[NETNS] = _info(links=((1, "lo"),))
    machine.see(CALL)
    machine.asked()
    nameless = replace(MISS.datagram, ifname="", ifindex=5)
    machine.directory.infos[NETNS] = _info(time=2, links=((1, "lo"), (5, "eth0")))
    assert machine.see(_miss(walk=None, datagram=nameless), 1) == [machine.directory.infos[NETNS]]
    # Known now, or still not: it is not asked for again and again.
    machine.asked()
    for ifindex in (5, 6, 7, 6):
        machine.see(_miss(walk=None, datagram=replace(nameless, ifindex=ifindex)), 2)
    assert len(machine.asked()) == 1


def test_lookalike_an_interface_that_is_named_needs_no_look() -> None:
    machine = Machine()
    machine.directory.infos[NETNS] = _info(links=((1, "lo"),))
    machine.see(CALL)
    machine.asked()
    machine.see(_miss(walk=None), 1)
    assert machine.asked() == []


def test_the_ports_to_choose_from_where_none_was_free(machine: Machine) -> None:
    """Read at once, again after a second, and told where they are news."""
    failed = replace(CALL, op="autobind", requested=None, error=11)
    first = PortRange(time=1, inum=NETNS, cookie=7, first=40000, last=40001, reserved="")
    machine.look(0)
    machine.directory.ranges[NETNS] = first
    assert first in machine.see(failed)
    machine.asked()
    machine.see(failed, now=REFRESH_NS)
    assert not any(what == "range" for what, *_ in machine.asked())
    later = REFRESH_NS + 1
    assert not any(isinstance(found, PortRange) for found in machine.see(failed, now=later))
    assert ("range", (NETNS,), (failed.task.pid,)) in machine.asked()
    machine.directory.ranges[NETNS] = replace(first, time=2, last=40009)
    assert machine.directory.ranges[NETNS] in machine.see(failed, now=later)


def test_no_ports_are_looked_for_after_another_error(machine: Machine) -> None:
    machine.see(replace(CALL, op="bind", requested=("0.0.0.0", 53), error=98))
    assert not any(what == "range" for what, *_ in machine.asked())
