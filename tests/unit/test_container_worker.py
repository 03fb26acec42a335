"""The thread that looks for containers: what it tells, once, and that nobody waits for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from tracer.containers import Container
from tracer.events import InContainer, NetnsContainers, TargetChange
from tracer.system.containers import commands, follow, worker
from tracer.system.containers.docker import of_inspect
from tracer.system.containers.found import Found
from tracer.system.containers.worker import ContainerWorker
from tracer.system.processes import start_of

WEB = Container("docker", "3f2a" * 16, "web", "alpine:3.20")
SIDE = Container("docker", "77aa" * 16, "side", "alpine:3.20")
DEADLINE_S = 60.0

PID = os.getpid()
BOX, COOKIE = 22, 7


class FakeEngines:
    """Knows which process is in which container."""

    def __init__(self) -> None:
        self.of: dict[int, Container] = {}
        self.there: list[Found] = []
        self.open = threading.Event()
        self.open.set()

    def container_of(self, pid: int) -> Container | None:
        self.open.wait(DEADLINE_S)
        return self.of.get(pid)

    def all(self) -> list[Found]:
        return list(self.there)


class Machine:
    """Processes in namespaces."""

    def __init__(self) -> None:
        self.netns: dict[int, int] = {}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()

    def members(wanted: dict[int, int]) -> dict[int, list[int]]:
        return {i: [pid for pid, inum in machine.netns.items() if inum == i] for i in wanted}

    monkeypatch.setattr(worker, "members", members)
    monkeypatch.setattr(worker, "netns_of", lambda pid: machine.netns.get(pid))
    monkeypatch.setattr(worker, "initial_inum", lambda known: 1)
    return machine


@pytest.fixture
def engines() -> FakeEngines:
    return FakeEngines()


@pytest.fixture
def start(engines: FakeEngines) -> Iterator[Callable[..., ContainerWorker]]:
    started: list[ContainerWorker] = []

    def make(*follow: str) -> ContainerWorker:
        started.append(ContainerWorker(follow, engines=lambda: engines))  # type: ignore[arg-type, return-value]
        return started[-1]

    yield make
    engines.open.set()
    for one in started:
        one.close()


Start = Callable[..., ContainerWorker]


def told(asked: ContainerWorker) -> list[tuple[object, ...]]:
    """What it has found, once it has looked at everything."""
    assert asked.settle(DEADLINE_S)
    shown: list[tuple[object, ...]] = []
    for event in asked.events():
        if isinstance(event, NetnsContainers):
            shown.append((event.inum, event.cookie, tuple(c.name for c in event.containers)))
        elif isinstance(event, InContainer):
            shown.append((event.pid, event.container.name))
        else:
            shown.append((event.spec, event.state, event.inum))
    return shown


def test_a_namespaces_containers_once(machine: Machine, engines: FakeEngines, start: Start) -> None:
    machine.netns, engines.of = {5: BOX, 6: BOX, 7: 33}, {5: WEB, 6: SIDE, 7: SIDE}
    asked = start()
    asked.want_netns(BOX, COOKIE)
    assert told(asked) == [(BOX, COOKIE, ("web", "side"))]
    asked.want_netns(BOX, COOKIE)
    assert told(asked) == []


def test_a_process_seen_there_is_looked_at_first(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    machine.netns, engines.of = {5: BOX, 6: BOX}, {5: WEB, 6: SIDE}
    asked = start()
    asked.want_netns(BOX, COOKIE, [6])
    assert told(asked)[0] == (BOX, COOKIE, ("side",))


def test_a_process_that_is_elsewhere_by_now_says_nothing(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    machine.netns, engines.of = {6: 33}, {6: SIDE}
    asked = start()
    asked.want_netns(BOX, COOKIE, [6])
    assert told(asked) == []


def test_the_hosts_is_not_looked_at(machine: Machine, engines: FakeEngines, start: Start) -> None:
    machine.netns, engines.of = {5: 1}, {5: WEB}
    asked = start()
    asked.want_netns(1, 1, [5])
    assert told(asked) == []


def test_a_namespace_whose_processes_are_gone_keeps_its_name(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    machine.netns, engines.of = {5: BOX}, {5: WEB}
    asked = start()
    asked.want_netns(BOX, COOKIE)
    assert told(asked)
    machine.netns = {}
    asked.want_netns(BOX, COOKIE)
    assert told(asked) == []


def test_the_next_namespace_of_a_number_is_told_from_it(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    machine.netns, engines.of = {5: BOX}, {5: WEB}
    asked = start()
    asked.want_netns(BOX, COOKIE)
    assert told(asked)
    machine.netns = {8: BOX}
    asked.want_netns(BOX, 9)
    assert told(asked) == [(BOX, 9, ())]


def test_without_cookies_its_processes_tell(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    machine.netns, engines.of = {5: BOX}, {5: WEB}
    asked = start()
    asked.want_netns(BOX, 0)
    assert told(asked)
    machine.netns = {8: BOX}
    asked.want_netns(BOX, 0)
    assert told(asked) == [(BOX, 0, ())]


def test_a_process_of_a_container(machine: Machine, engines: FakeEngines, start: Start) -> None:
    engines.of = {PID: WEB}
    asked = start()
    asked.want_process(PID, start_of(PID))
    assert told(asked) == [(PID, "web")]


def test_a_number_that_is_anothers_by_now(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    engines.of = {PID: WEB}
    asked = start()
    asked.want_process(PID, start_of(PID) - 1_000_000_000)
    assert told(asked) == []


def test_nobody_waits_for_an_engine_that_hangs(
    machine: Machine, engines: FakeEngines, start: Start
) -> None:
    engines.open.clear()
    machine.netns, engines.of = {5: BOX}, {5: WEB}
    asked = start()
    asked.want_netns(BOX, COOKIE)
    assert asked.events() == []
    assert not asked.settle(0.01)
    engines.open.set()
    assert told(asked) == [(BOX, COOKIE, ("web",))]


def test_what_only_the_engines_command_knows_is_told_later(
    machine: Machine, engines: FakeEngines, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Container("docker", WEB.id, None, None)
    monkeypatch.setattr(worker, "completed", lambda container: WEB)
    machine.netns, engines.of = {PID: BOX}, {PID: bare}
    asked = start()
    asked.want_netns(BOX, COOKIE)
    asked.want_process(PID, start_of(PID))
    seen: list[tuple[object, ...]] = []
    while (PID, "web") not in seen or (BOX, COOKIE, ("web",)) not in seen:
        seen += told(asked)
    assert (BOX, COOKIE, (None,)) in seen


def test_a_stuck_daemon_costs_a_name_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that does not answer is given up; `sleep` stands in for docker's."""
    monkeypatch.setattr(commands, "TIMEOUT_S", 0.1)
    stuck = commands.Command("docker", ("sleep",), of_inspect)
    assert stuck.ask("60") == (None, commands.NO_ANSWER)


def test_names_are_arguments_and_no_shells_business(monkeypatch: pytest.MonkeyPatch) -> None:
    echo = commands.Command("docker", ("printf", '{"Id": "%s", "Name": "x"}'), of_inspect)
    found, _ = echo.ask("$(id); `id` ' ;")
    assert found is not None
    assert found.container.id == "$(id); `id` ' ;"
    assert commands.COMMANDS[0].ask("--help")[0] is None


# Containers that are followed


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch, engines: FakeEngines) -> Callable[..., None]:
    """Sets which containers run, each a process of this machine in a namespace."""
    netns: dict[int, int] = {}
    monkeypatch.setattr(Found, "netns", property(lambda found: netns[found.pid]))
    monkeypatch.setattr(Found, "running", property(lambda found: found.pid != 0))

    def is_in(namespace: object, function: object) -> int:
        return COOKIE

    monkeypatch.setattr(follow, "in_netns", is_in)

    def put(*running: tuple[Container, int, int]) -> None:
        netns.update({pid: inum for _, pid, inum in running})
        engines.there = [Found(container, pid, "running", 0.0) for container, pid, _ in running]

    return put


def changes(asked: ContainerWorker) -> list[tuple[str, int]]:
    """What has started and ended, once something has."""
    seen: list[TargetChange] = []
    while not seen:
        asked.settle(DEADLINE_S)
        seen = [event for event in asked.events() if isinstance(event, TargetChange)]
    return [(event.state, event.inum) for event in seen]


def test_where_it_runs_at_the_start(
    machine: Machine, lives: Callable[..., None], start: Start
) -> None:
    lives((WEB, PID, BOX), (SIDE, os.getppid(), 33))
    assert changes(start("web")) == [("started", BOX)]


def test_it_is_waited_for_and_followed(
    machine: Machine, lives: Callable[..., None], start: Start
) -> None:
    asked = start("web")
    assert asked.settle(DEADLINE_S)
    assert asked.events() == []
    lives((WEB, PID, BOX))
    assert changes(asked) == [("started", BOX)]
    # Another life in a namespace of the same number, as is common.
    lives((WEB, os.getppid(), BOX))
    assert changes(asked) == [("ended", BOX), ("started", BOX)]
    lives((WEB, 0, BOX))
    assert changes(asked) == [("ended", BOX)]


def test_of_two_that_start_it_is_said_which_is_followed(
    machine: Machine, engines: FakeEngines, lives: Callable[..., None]
) -> None:
    said: list[str] = []
    namesake = Container("podman", "99ee" * 16, "web", None)
    lives((WEB, PID, BOX), (namesake, os.getppid(), 33))
    asked = ContainerWorker(("web",), said.append, engines=lambda: engines)  # type: ignore[arg-type, return-value]
    assert changes(asked) == [("started", BOX)]
    asked.close()
    (line,) = said
    assert line.startswith(
        "-c web: it may be any of web (docker 3f2a3f2a3f2a, running), web (podman"
    )
    assert line.endswith("; the first is followed")


def test_a_fault_of_the_thread_is_said(machine: Machine, engines: FakeEngines) -> None:
    said: list[str] = []
    asked = ContainerWorker((), said.append, engines=lambda: engines)  # type: ignore[arg-type, return-value]
    engines.of = None  # type: ignore[assignment]
    asked.want_process(PID, start_of(PID))
    asked._thread.join(DEADLINE_S)
    assert said[0].startswith("containers are not looked up any more: AttributeError")
    assert asked.settle(0)


def test_its_namesake_of_another_engine_is_not_followed_later(
    machine: Machine, lives: Callable[..., None], start: Start
) -> None:
    lives((WEB, PID, BOX))
    asked = start("web")
    assert changes(asked) == [("started", BOX)]
    namesake = Container("podman", "99ee" * 16, "web", None)
    lives((namesake, os.getppid(), 33), (WEB, 0, BOX))
    assert changes(asked) == [("ended", BOX)]
