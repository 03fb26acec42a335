"""From calls on sockets to transitions, and how they are shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.build import (
    BOX,
    COOKIES,
    HOST,
    MS,
    OTHER,
    at,
    autobind,
    bind,
    close,
    connect,
    counters,
    disconnect,
    end,
    header,
    loss,
    namespace,
    sock,
    task,
    tick,
)
from tests.unit.command import FAKE, failed, run
from tests.unit.test_golden import GOLDEN, compare
from tracer.containers import Container
from tracer.events import (
    Call,
    Created,
    Event,
    InContainer,
    NetnsContainers,
    PortRange,
    TargetChange,
)
from tracer.render.transitions import TransitionJson, TransitionText, tally_line, tally_summary
from tracer.select import Selection, selection_of
from tracer.states.consume import CONNECT_PROBE, Transitions
from tracer.states.model import WHAT

SETTLE = 200 * MS
DOCS = Path(__file__).resolve().parents[2] / "docs/states.md"
RECORDING = Path(__file__).resolve().parents[1] / "recordings/v1/netcat.udptrace"
WEB = Container("docker", "ab" * 32, "web", "alpine")

EMPTY = sock("0.0.0.0:0", inode=1, bound=False)
OPEN = sock("0.0.0.0:5353", inode=1, bound=True)
TIED = sock("10.0.0.9:5353", "10.0.0.1:53", inode=1, bound=True)
OTHER_PEER = sock("10.0.0.9:5353", "10.0.0.2:53", inode=1, bound=True)
CHOSEN = sock("0.0.0.0:40123", inode=2, bound=False)
WITH_PROBE = header(probes=("__ip4_datagram_connect", CONNECT_PROBE))


def created(ms: float, inode: int = 1) -> Created:
    return Created(at(ms), task(), replace(EMPTY, inode=inode))


def without_port(ms: float, error: int = 11, within: bool = False, netns: int = HOST) -> Call:
    """An autobind that found no port free."""
    view = sock("0.0.0.0:0", inode=3, netns=netns)
    call = Call(at(ms), "autobind", at(ms), task(), None, view, view, error)
    return replace(call, within="connect") if within else call


def ports(ms: float, netns: int = HOST, reserved: str = "40001", cookie: int = 0) -> PortRange:
    return PortRange(at(ms), netns, cookie or COOKIES[netns], 40000, 40001, reserved)


def life() -> list[Event]:
    """A socket from its making to its end, and what did not work for others."""
    box = sock("10.0.0.5:40200", inode=4, netns=BOX, bound=True)
    v6 = sock("[::1]:40300", "[::1]:53", inode=5, bound=False)
    unspec = replace(sock("[::]:40300", inode=5, bound=True), peer="::1")
    return [
        WITH_PROBE,
        namespace(0.1, HOST, "host", "10.0.0.9"),
        created(1),
        bind(2, OPEN),
        connect(3, OPEN, TIED),
        connect(4, TIED, OTHER_PEER),
        replace(disconnect(5, OTHER_PEER, OPEN), within="connect"),
        connect(6, OPEN, OPEN, error=101),
        close(7, OPEN),
        replace(autobind(8, CHOSEN), within="connect"),
        autobind(9, replace(CHOSEN, inode=6)),
        without_port(10, within=True),
        without_port(11),
        ports(12),
        replace(bind(13, replace(box, device=2)), requested=("10.0.0.5", 0)),
        NetnsContainers(at(14), BOX, COOKIES[BOX], (WEB,)),
        connect(15, replace(v6, state=7, peer="::", pport=0), v6),
        disconnect(16, v6, unspec),
        loss(17, "created", 3),
        loss(18, "miss", 4),
        end(1000),
    ]


def shown(events: Iterable[Event], **options: Any) -> list[dict[str, Any]]:
    """The transitions told of a trace, as JSON."""
    lines = printed(TransitionJson(), events, **options).splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "transition"]


def printed(
    renderer: TransitionJson | TransitionText, events: Iterable[Event], **options: Any
) -> str:
    whole: list[str] = []
    if isinstance(renderer, TransitionJson):
        options["last"] = renderer.last
    transitions = Transitions(renderer, whole.append, settle_ns=SETTLE, **options)
    for event in events:
        transitions.feed(event)
    transitions.finish()
    return "".join(whole)


def what(events: Iterable[Event], **options: Any) -> list[Any]:
    return [made["what"] for made in shown(events, **options)]


def selected(*pairs: tuple[str, str]) -> Selection:
    return selection_of(pairs)


# Word for word


def test_text() -> None:
    whole = printed(TransitionText(), life())
    compare(GOLDEN / "states.txt", whole)
    assert max(map(len, whole.splitlines())) <= 80


def test_json() -> None:
    compare(GOLDEN / "states.jsonl", printed(TransitionJson(), life()))


def test_every_field_and_every_what_is_documented() -> None:
    text = DOCS.read_text()
    for made in shown(life()):
        for name in (*made, *(made["after"] or ()), *(made["ports"] or ())):
            assert f"`{name}`" in text, name
    assert set(WHAT) == set(what(life()))
    assert all(f"| `{word}` |" in text for word in WHAT)


# When it is shown


def test_a_transition_is_held_for_what_is_looked_up_for_it() -> None:
    lines: list[str] = []
    transitions = Transitions(TransitionJson(), lines.append, settle_ns=SETTLE)
    process = bind(2, OPEN).task
    transitions.feed(WITH_PROBE)
    transitions.feed(bind(2, OPEN))
    assert transitions.next_deadline() == at(202)
    # Looked up late, and dated later still: it has no part in time.
    transitions.feed(InContainer(at(300), process.pid, process.start_ns, WEB))
    transitions.feed(counters(300))
    transitions.feed(tick(201.9))
    assert len(lines) == 1
    transitions.feed(tick(202))
    (made,) = map(json.loads, lines[1:])
    assert made["by"]["container"] == "web"
    assert transitions.next_deadline() is None


def test_they_come_in_the_order_of_their_times() -> None:
    """Records of several processors can be a little out of order."""
    events: list[Event] = [WITH_PROBE, connect(3, OPEN, TIED), bind(2, OPEN), end(900)]
    assert what(events) == ["bound", "connected"]


def test_what_is_held_is_bounded() -> None:
    transitions = Transitions(TransitionJson(), lambda text: None, settle_ns=SETTLE)
    transitions.feed(WITH_PROBE)
    for number in range(9000):
        transitions.feed(created(number / 1e6))
    assert transitions.tally.shown["created"] > 800


# Which it is


def test_connect_and_a_send_are_told_apart_only_where_it_was_looked_for() -> None:
    within = replace(autobind(1, CHOSEN), within="connect")
    for first, by in ((WITH_PROBE, "send"), (header(), None)):
        made = shown([first, within, autobind(2, CHOSEN), end(900)])
        assert [one["within"] for one in made] == ["connect", by]
    text = printed(TransitionText(), [header(), autobind(2, CHOSEN), end(900)])
    assert "by connect() or a send" in " ".join(text.split())


def test_a_disconnect_outside_connect_is_not_said_to_be_a_sends() -> None:
    (made,) = shown([WITH_PROBE, disconnect(1, TIED, OPEN), end(900)])
    assert (made["what"], made["within"]) == ("disconnected", None)


def test_an_autobind_that_came_second_is_none() -> None:
    beaten = replace(autobind(1, CHOSEN), before=CHOSEN)
    assert what([WITH_PROBE, beaten, end(900)]) == []


def test_the_ports_are_those_of_the_namespace_and_of_no_other() -> None:
    (made,) = shown([WITH_PROBE, without_port(1, netns=OTHER), ports(2), end(900)])
    assert made["ports"] is None
    reused = ports(2, cookie=99)
    (made,) = shown([WITH_PROBE, without_port(1), reused, end(900)])
    assert made["ports"] is None


@pytest.mark.parametrize(
    ("asked", "error", "out_of_ports"),
    [(("0.0.0.0", 0), 98, True), (("0.0.0.0", 53), 98, False), (("192.0.2.1", 0), 99, False)],
)
def test_bind_that_found_no_port(asked: tuple[str, int], error: int, out_of_ports: bool) -> None:
    call = replace(bind(1, EMPTY), requested=asked, error=error)
    (made,) = shown([WITH_PROBE, call, ports(2), end(900)])
    assert made["what"] == "failed"
    assert (made["ports"] is not None) == out_of_ports


def test_names_are_made_safe() -> None:
    by = replace(task(), comm="a\x1b[2J")
    text = printed(TransitionText(), [header(), bind(1, OPEN, by=by), end(900)])
    assert "\x1b" not in text
    asked = replace(bind(1, OPEN), requested=("\x1b[2J", 0))
    for error in (0, 98):
        made: list[Event] = [header(), replace(asked, error=error), end(900)]
        assert "\x1b" not in printed(TransitionText(), made)
    assert what(made, selection=selected(("host", "10.0.0.0/8"))) == []
    ranges = ports(2, reserved="\x1b" * 999)
    text = printed(TransitionText(), [header(), without_port(1), ranges, end(900)])
    assert "\x1b" not in text
    assert len(text) < 1000


# Targets and filters


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        ([("what", "bound"), ("what", "closed")], ["bound", "closed", "bound"]),
        ([("port", "40200")], ["bound"]),
        ([("port", "53"), ("family", "ipv6")], ["connected", "disconnected"]),
        ([("host", "10.0.0.2/32")], ["reconnected", "disconnected"]),
        ([("process", "nc"), ("what", "created")], ["created"]),
        ([("process", "other")], []),
    ],
)
def test_filters(pairs: list[tuple[str, str]], wanted: list[str]) -> None:
    assert what(life(), selection=selected(*pairs)) == wanted


def test_targets() -> None:
    assert what(life(), targets=frozenset({BOX})) == ["bound"]
    # A container that is followed, and one that is asked for afterwards by its id.
    started = TargetChange(at(0.5), "web", "started", BOX, COOKIES[BOX], WEB)
    events = [WITH_PROBE, started, *life()[1:]]
    assert what(events, following=True) == ["bound"]
    assert what(life(), following=True) == []
    assert what(life(), selection=selected(("container", WEB.id))) == ["bound"]


def test_the_summary_says_what_was_lost() -> None:
    transitions = Transitions(TransitionText(), lambda text: None, settle_ns=SETTLE)
    assert tally_summary(transitions.tally) == "0 s: 0 transitions, 0 probes proven, nothing lost"
    for event in (WITH_PROBE, bind(1, OPEN), loss(2, "call", 3), loss(3, "miss", 9), end(5000)):
        transitions.feed(event)
    lost = "lost: 3 connect, bind, autobind or disconnect records"
    summary = f"5 s: 1 transition (1 bound), 2 probes proven, {lost}"
    assert tally_summary(transitions.tally) == summary
    assert tally_line(transitions.tally, 7 * 10**9) == "7 s: 1 transition, 2 probes proven"


# The command


def test_of_a_recording() -> None:
    done = run("states", str(RECORDING))
    compare(GOLDEN / "states-netcat.txt", done.stdout)
    assert done.stderr.startswith("4 s: 12 transitions (4 connected, 4 closed, 2 bound")


def test_filters_and_targets_of_a_recording() -> None:
    asked = ("states", "-f", "json", "--what", "closed,bound", "-N", "demo-host", str(RECORDING))
    lines = [json.loads(line) for line in run(*asked).stdout.splitlines()]
    made = [line["what"] for line in lines if line["kind"] == "transition"]
    assert made == ["bound", "closed", "bound", "closed"]
    assert lines[-1]["transitions"] == {"bound": 2, "closed": 2}


def test_a_replay_prints_what_the_live_trace_did(tmp_path: Path) -> None:
    """All but the kernel is real; its misses are no transitions."""
    recording = str(tmp_path / "recording")
    live = run("states", "-f", "json", "--duration", "0.5", "-w", recording, command=FAKE)
    assert live.returncode == 0, live.stderr
    assert live.stderr.splitlines()[-1].endswith("0 transitions, 2 probes proven, nothing lost")
    assert run("states", "-f", "json", recording).stdout == live.stdout
    kinds = [json.loads(line)["kind"] for line in live.stdout.splitlines()]
    assert kinds == ["header", "end"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--what", "open"), "'open' is not one of"),
        (("-w", "-"), "standard output has the transitions already"),
        ((str(RECORDING), "--duration", "3"), "--duration: is for a live trace, not for FILE"),
        ((str(RECORDING), "-w", "x"), "--write: is for a live trace, not for FILE"),
        (("--wait",), "--wait: for what? add -c NAME"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str) -> None:
    assert message in failed(run("states", *arguments), 2)


def test_the_table_of_the_documentation_is_there() -> None:
    """It is made by a kernel test, and must not go with an edit of the page."""
    table = DOCS.read_text().partition("begins -->")[2].partition("<!-- the table ends")[0]
    assert len(re.findall(r"^\| ", table, re.MULTILINE)) > 30
