"""`udptrace sockets` from outside: what it says on stderr, and how it ends."""

from __future__ import annotations

import json

import pytest
from click.testing import Result

from tests.unit.build import sock
from tests.unit.listed import listed
from tests.unit.report import invoke
from tracer.cli import sockets
from tracer.cli.errors import exit_code_of
from tracer.cli.main import udptrace
from tracer.errors import BadAnswer, StartError, UdptraceError, UsageError
from tracer.kernel import capabilities, iterator
from tracer.sockets.model import Need
from tracer.system.listing import Listing

CLIENT = listed(sock("0.0.0.0:58395"), port_lock=False)
SERVER = listed(sock("0.0.0.0:53"))
PEER = listed(sock("10.0.0.5:55", "10.0.0.1:9"), port_lock=False)
UNKNOWN = listed(sock("0.0.0.0:56"), told=False)


class NoIterator:
    """This machine has none."""

    def __init__(self) -> None:
        raise StartError("no BPF here", "be root")


class Machine:
    """What a look at this machine finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listing = Listing([CLIENT, SERVER, PEER])
        self.missing: list[str] = []
        self.needs = Need.NONE
        monkeypatch.setattr(iterator, "SocketIterator", NoIterator)
        monkeypatch.setattr(capabilities, "missing_capabilities", lambda: self.missing)
        monkeypatch.setattr(sockets, "take_listing", self.look)

    def look(self, wanted: object, read: object, needs: Need) -> Listing:
        self.needs = needs
        return self.listing


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def locals_of(done: Result) -> list[str]:
    assert done.exception is None, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("{")]
    return [json.loads(line)["local"] for line in lines]


ALL = ["0.0.0.0:53", "10.0.0.5:55", "0.0.0.0:58395"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ALL),
        (("-a", "-n"), ALL),
        (("-l",), [ALL[0], ALL[2]]),
        (("--state", "ESTAB"), [ALL[1]]),
        (("--port-origin", "bound"), [ALL[0]]),
        (("--exposed",), [ALL[0], ALL[2]]),
        (("--port", "9"), [ALL[1]]),
        (("--sort", "local"), ALL),
    ],
)
def test_what_is_listed(machine: Machine, arguments: tuple[str, ...], expected: list[str]) -> None:
    assert locals_of(invoke("sockets", "-f", "json", *arguments)) == expected


def test_listening_is_said_to_be_no_state(machine: Machine) -> None:
    assert "UDP has no listening state" in invoke("sockets", "-l").output
    assert "UDP has no listening state" not in invoke("sockets").output


def test_what_is_missing_is_said_in_a_line_each(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.listing = Listing([UNKNOWN, PEER], ["udp_diag: no such module"])
    machine.missing = ["CAP_SYS_PTRACE", "CAP_NET_ADMIN"]
    assert exit_code_of(udptrace, "udptrace", ["sockets", "--port-origin", "bound"]) == 0
    lacking, processes, problem, left_out = capsys.readouterr().err.splitlines()
    assert lacking.startswith("udptrace: where a port came from, multicast groups")
    assert lacking.endswith("are not known: no BPF here: be root")
    assert processes.startswith("udptrace: without CAP_SYS_PTRACE: which processes hold")
    assert problem == "udptrace: udp_diag: no such module"
    assert left_out == "udptrace: --port-origin: left out, for it is not known: 1 socket"


FAIL = ("--fail-on", "kernel-chosen-any")


@pytest.mark.parametrize(
    ("listing", "arguments", "ends"),
    [
        (Listing([CLIENT, SERVER]), FAIL, BadAnswer),
        (Listing([CLIENT, SERVER]), (*FAIL, "--port", "53"), None),
        (Listing([SERVER, PEER]), FAIL, None),
        (Listing([SERVER, UNKNOWN]), FAIL, UdptraceError),
        (Listing([SERVER, UNKNOWN]), (*FAIL, "--port-origin", "kernel-chosen"), UdptraceError),
        (Listing([SERVER, UNKNOWN]), (*FAIL, "--port", "53"), None),
        (Listing([SERVER], unread=1), FAIL, UdptraceError),
        (Listing([CLIENT, UNKNOWN], unread=1), FAIL, BadAnswer),
        (Listing([], ["not let in"], unread=1), (), UdptraceError),
        (Listing([]), (), None),
        (Listing([]), ("-l", "-a"), UsageError),
        (Listing([]), ("-l", "--state", "ESTAB"), UsageError),
        (Listing([]), ("-f", "json", "--columns", "local"), UsageError),
    ],
)
def test_how_it_ends(
    machine: Machine,
    listing: Listing,
    arguments: tuple[str, ...],
    ends: type[UdptraceError] | None,
) -> None:
    machine.listing = listing
    error = invoke("sockets", *arguments).exception
    assert type(error) is (ends or type(None)), error


def test_columns_are_known_words(machine: Machine) -> None:
    heads = invoke("sockets", "--columns", "uid, local").stdout.splitlines()
    assert [head.split() for head in heads[:1]] == [["UID", "LOCAL"]]
    assert "'pid' is not one of state, " in invoke("sockets", "--columns", "pid").output


LEAN = ("--columns", "state,rx,tx,local,peer")


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        ((), Need.ALL),
        (("-f", "json"), Need.ALL),
        (("-f", "csv"), Need.ALL),
        (LEAN, Need.NONE),
        ((*LEAN, "-f", "csv"), Need.NONE),
        ((*LEAN, "--port", "53", "--host", "::1", "-4", "-l"), Need.NONE),
        ((*LEAN, "--process", "nc"), Need.OWNERS),
        ((*LEAN, "--sort", "processes"), Need.OWNERS | Need.FACTS),
        ((*LEAN, "--sort", "drops"), Need.MEMORY),
        ((*LEAN, "--port-origin", "bound"), Need.FACTS),
        ((*LEAN, "--exposed"), Need.FACTS),
        ((*LEAN, "--fail-on", "kernel-chosen-any"), Need.FACTS),
        (("--columns", "container"), Need.OWNERS | Need.CONTAINERS),
    ],
)
def test_only_what_is_needed_is_looked_up(
    machine: Machine, arguments: tuple[str, ...], needs: Need
) -> None:
    machine.listing = Listing([SERVER])
    done = invoke("sockets", *arguments)
    assert done.exception is None
    assert machine.needs == needs
    assert ("no BPF here" in done.output) is (Need.FACTS in needs)


def test_no_socket_is_no_failure(machine: Machine) -> None:
    machine.listing = Listing([])
    assert invoke("sockets", "-f", "csv").stdout.count("\n") == 1
