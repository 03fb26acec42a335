"""`udptrace states`: every call that changes a UDP socket, and those that look like one and do not.

The table of docs/states.md is made from what is seen here: GOLDEN=write renews it, in the guest:
scripts/vm --share DIR -- sh -c "GOLDEN=write python3 -m pytest FILE; cp docs/states.md /share"
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kernel.live import DEADLINE_S, Json, States, run, wait_for
from tests.kernel.net import Namespace, disconnect

LO, OTHER = "127.0.0.1", "127.0.0.2"
DOCS = Path(__file__).resolve().parents[2] / "docs/states.md"
TABLE = re.compile(r"(?<=<!-- the table begins -->\n).*?(?=<!-- the table ends -->)", re.DOTALL)


@dataclass
class Step:
    """A call on a socket, and when it was made."""

    words: str
    inode: int
    began: int = 0
    ended: int = 0
    error: str = "-"


@dataclass
class Script:
    """Calls made one after the other in a namespace, each remembered."""

    box: Namespace
    steps: list[Step] = field(default_factory=list)

    def new(self, family: int = socket.AF_INET) -> socket.socket:
        """A socket, which is remembered like a call on it."""
        began = time.monotonic_ns()
        sock = self.box.udp(family=family)
        words = "`socket()`" if family == socket.AF_INET else "`socket()`, IPv6"
        self.steps.append(Step(words, inode(sock), began, time.monotonic_ns()))
        return sock

    def do(self, words: str, sock: socket.socket, call: Callable[[], object]) -> None:
        """Make a call; its errno is kept."""
        step = Step(words, inode(sock), time.monotonic_ns())
        try:
            call()
        except OSError as error:
            step.error = errno.errorcode[error.errno or 0]
        step.ended = time.monotonic_ns()
        self.steps.append(step)

    def close(self, words: str, sock: socket.socket) -> None:
        self.do(words, sock, sock.close)


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    """One trace for the whole file."""
    trace = States(tmp_path_factory.mktemp("states"))
    yield trace
    trace.stop()


@pytest.fixture(scope="module")
def played(states: States) -> list[tuple[Step, list[Json]]]:
    """Every call of the script, with the transitions shown of it."""
    with Namespace("box") as box:
        script = Script(box)
        play(script)
        last = script.steps[-1].inode
        # What is looked up for a transition is looked for in its namespace.
        wait_for(lambda: states.transitions(inode=last, what="closed"), "the last close")
    return [(step, made_by(states, step)) for step in script.steps]


def made_by(states: States, step: Step) -> list[Json]:
    shown = states.transitions(inode=step.inode)
    return [made for made in shown if step.began <= made["mono_ns"] <= step.ended]


def play(script: Script) -> None:
    """Each kind of call on sockets of each kind."""
    ordinary(script)
    again(script)
    failing(script)
    ipv6(script)
    without_ports(script)


def ordinary(script: Script) -> None:
    sock = script.new()
    script.close("`close()`, never bound", sock)
    sock = script.new()
    script.do(f"`bind({LO}:7901)`", sock, lambda: sock.bind((LO, 7901)))
    script.do("`sendto()`, bound", sock, lambda: sock.sendto(b"x", (LO, 7901)))
    select.select([sock], [], [], DEADLINE_S)  # a busy machine is slow to deliver it
    script.do("`recvfrom()`", sock, lambda: sock.recvfrom(9))
    script.close("`close()`, bound", sock)
    sock = script.new()
    script.do("`bind(0.0.0.0:0)`", sock, lambda: sock.bind(("0.0.0.0", 0)))
    sock.close()
    sock = script.new()
    script.do("`sendto()`, not bound", sock, lambda: sock.sendto(b"x", (LO, 7908)))
    script.do("`connect(AF_UNSPEC)` after that", sock, lambda: disconnect(sock))
    sock.close()


def again(script: Script) -> None:
    sock = script.new()
    script.do(f"`connect({LO}:9)`, not bound", sock, lambda: sock.connect((LO, 9)))
    script.do(f"`connect({OTHER}:9)` again", sock, lambda: sock.connect((OTHER, 9)))
    script.do("`connect(AF_UNSPEC)` after that", sock, lambda: disconnect(sock))
    script.do("`sendto()` after that", sock, lambda: sock.sendto(b"x", (LO, 9)))
    sock.close()
    sock = script.new()
    sock.bind(("0.0.0.0", 7902))
    script.do(f"`connect({LO}:9)`, bound to `0.0.0.0:7902`", sock, lambda: sock.connect((LO, 9)))
    script.do("`connect(AF_UNSPEC)` after that", sock, lambda: disconnect(sock))
    sock.connect((LO, 9))
    script.close("`close()`, connected", sock)
    sock = script.new()
    sock.bind((OTHER, 7903))
    script.do(f"`connect({LO}:9)`, bound to `{OTHER}:7903`", sock, lambda: sock.connect((LO, 9)))
    script.do("`connect(AF_UNSPEC)` after that", sock, lambda: disconnect(sock))
    sock.close()


def failing(script: Script) -> None:
    holder, sock = script.new(), script.new()
    holder.bind((LO, 7904))
    script.do("`bind()`, the port is taken", sock, lambda: sock.bind((LO, 7904)))
    script.do("`bind()`, not our address", sock, lambda: sock.bind(("192.0.2.1", 7905)))
    script.do("`connect()`, no route, not bound", sock, lambda: sock.connect(("192.0.2.1", 9)))
    script.do("`connect()` once more", sock, lambda: sock.connect(("192.0.2.1", 9)))
    holder.close()
    sock.close()


def ipv6(script: Script) -> None:
    sock = script.new(socket.AF_INET6)
    script.do("`connect([::1]:9)`, not bound", sock, lambda: sock.connect(("::1", 9)))
    script.do("`connect(AF_UNSPEC)` after that", sock, lambda: disconnect(sock))
    sock.close()
    sock = script.new(socket.AF_INET6)
    script.do("`bind([::]:7906)`", sock, lambda: sock.bind(("::", 7906)))
    mapped = f"::ffff:{LO}"
    script.do(f"`connect([{mapped}]:9)` after that", sock, lambda: sock.connect((mapped, 9)))
    sock.close()
    sock = script.new(socket.AF_INET6)
    sock.bind(("::", 7907))
    script.do("`connect([::1]:9)`, bound to `[::]:7907`", sock, lambda: sock.connect(("::1", 9)))
    script.do("`connect(AF_UNSPEC)` after that", sock, lambda: disconnect(sock))
    sock.close()


def without_ports(script: Script) -> None:
    """The kernel has two ports to choose from; one is reserved, the other one taken."""
    script.box.sysctl(ipv4__ip_local_port_range="40000 40001")
    script.box.sysctl(ipv4__ip_local_reserved_ports="40001")
    holder, sock = script.new(), script.new()
    holder.bind(("0.0.0.0", 40000))
    script.do("`connect()`, no port is free", sock, lambda: sock.connect((LO, 9)))
    script.do("`sendto()`, no port is free", sock, lambda: sock.sendto(b"x", (LO, 9)))
    script.do("`bind(0.0.0.0:0)`, no port is free", sock, lambda: sock.bind(("0.0.0.0", 0)))
    holder.close()
    sock.close()


def test_the_table_of_the_documentation(played: list[tuple[Step, list[Json]]]) -> None:
    made = table(played)
    if os.environ.get("GOLDEN") == "write":
        DOCS.write_text(TABLE.sub(lambda match: made, DOCS.read_text()))
    found = TABLE.search(DOCS.read_text())
    assert found is not None
    assert found[0] == made, made


def table(played: list[tuple[Step, list[Json]]]) -> str:
    """A row a transition; one without for a call that changed nothing. Each call once."""
    rows = [["call", "errno", "what", "before", "after", "who chose", "then"], ["---"] * 7]
    known = set()
    for step, transitions in played:
        told = [row(made) for made in transitions] or [["nothing", *["-"] * 4]]
        if step.words.startswith("`socket()") and step.words in known:
            continue
        known.add(step.words)
        for number, cells in enumerate(told):
            call = [step.words, step.error] if number == 0 else ["", ""]
            rows.append([*call, *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(made: Json) -> list[str]:
    """One transition; ports that the kernel chose differ each time."""
    what = f"{made['what']} ({made['call']}() {made['error']})" if made["error"] else made["what"]
    what += f" by {made['within']}()" if made["within"] == "connect" else ""
    what += " by the send" if made["within"] == "send" else ""
    chose = [f"{end}: {made[f'{end}_from']}" for end in ("address", "port") if made[f"{end}_from"]]
    cells = [what, ends(made["before"]), ends(made["after"]), ", ".join(chose) or "-"]
    return [_named(text) for text in (*cells, made["meaning"])]


def ends(told: Json | None) -> str:
    if told is None:
        return "-"
    peer = f" -> {told['peer']}" if told["peer"] else ""
    return f"{told['local']}{peer} {told['state']}"


def _named(text: str) -> str:
    """A port of the ephemeral range as PORT."""
    return re.sub(r":(3[2-9]|[45]\d|6[01])\d{3}\b", ":PORT", text)


def only(played: list[tuple[Step, list[Json]]], words: str) -> list[Json]:
    """What was made of the one call with these words."""
    (found,) = [made for step, made in played if words in step.words]
    return found


def test_a_socket_is_seen_from_its_making_to_its_end(
    played: list[tuple[Step, list[Json]]], states: States
) -> None:
    first = played[0][0].inode
    made = states.transitions(inode=first)
    assert [one["what"] for one in made] == ["created", "closed"]
    assert {one["by"]["pid"] for one in made} == {os.getpid()}
    assert all(one["netns"]["name"].startswith("box") for one in made)


def test_who_had_a_port_chosen(played: list[tuple[Step, list[Json]]]) -> None:
    """By connect() and by a send, and where neither did though it looks so."""
    autobound, connected = only(played, f"`connect({LO}:9)`, not bound")
    assert (autobound["what"], autobound["within"]) == ("autobound", "connect")
    assert (connected["what"], connected["address_from"]) == ("connected", "route")
    (sent,) = only(played, "`sendto()`, not bound")
    assert (sent["what"], sent["within"]) == ("autobound", "send")
    assert only(played, "`sendto()`, bound") == []


def test_no_port_left(played: list[tuple[Step, list[Json]]]) -> None:
    for words, within, error in (
        ("`connect()`, no port is free", "connect", "EAGAIN"),
        ("`sendto()`, no port is free", "send", "EAGAIN"),
        ("`bind(0.0.0.0:0)`, no port is free", None, "EADDRINUSE"),
    ):
        (made,) = only(played, words)
        assert (made["what"], made["within"], made["error"]) == ("failed", within, error)
        assert made["ports"] == {"first": 40000, "last": 40001, "reserved": "40001"}
    # A port that is taken is another matter.
    (taken,) = only(played, "the port is taken")
    assert (taken["error"], taken["ports"]) == ("EADDRINUSE", None)


def test_other_sockets_are_not_shown(states: States, box: Namespace) -> None:
    """TCP's and UNIX sockets' connect() and bind(), beside a UDP socket's."""

    def others() -> set[int]:
        found = set()
        for family, kind, address in (
            (socket.AF_INET, socket.SOCK_STREAM, (LO, 9)),
            (socket.AF_UNIX, socket.SOCK_DGRAM, "\0nobody"),
        ):
            with socket.socket(family, kind) as sock:
                found.add(inode(sock))
                with suppress(OSError):
                    sock.connect(address)
        return found

    unwanted = box.inside(others)
    sock = box.udp(bind=(LO, 7910))
    mine = inode(sock)
    sock.close()
    wait_for(lambda: states.transitions(inode=mine, what="closed"), "the close")
    shown = {made["inode"] for made in states.transitions()}
    assert mine in shown
    assert not shown & unwanted
    # Nor those that the kernel makes for itself with each namespace, and closes with it.
    callers = {made["by"]["comm"] for made in states.transitions()}
    assert not [comm for comm in callers if comm == "ip" or comm.startswith("kworker")]


def test_a_replay_has_filters_and_incidents(
    played: list[tuple[Step, list[Json]]], states: States
) -> None:
    """What one asks for afterwards, of the recording."""
    assert played
    states.stop()
    text = run("states", "--what", "failed", "--port", "7904", str(states.recording)).stdout
    lines = [line for line in text.splitlines() if re.match(r"\d\d:\d\d:", line)]
    assert len(lines) == 1, text
    assert "EADDRINUSE" in text
    # It has the evidence of incidents, too.
    incidents = run("replay", "-f", "json", str(states.recording))
    assert '"dport": 7908' in incidents.stdout, incidents
