"""`udptrace check` from its command line to this machine's own loopback."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tracer.cli.check import command
from tracer.cli.endpoints import Endpoint, endpoint
from tracer.errors import UdptraceError
from tracer.system.machine import ThisMachine
from tracer.system.snapshot import Snapshot

CONTEXT = click.Context(command)
PARAM = command.params[0]


def failure(*arguments: str) -> tuple[int, str]:
    """The exit status, and the line on stderr, of a question without an answer."""
    done = CliRunner().invoke(command, arguments)
    error = done.exception
    if isinstance(error, UdptraceError):
        return error.exit_code, str(error)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1:53", Endpoint("10.0.0.1", "", 53)),
        ("[2001:DB8:0::1]:53", Endpoint("2001:db8::1", "", 53)),
        ("[fe80::1%eth0]:53", Endpoint("fe80::1", "eth0", 53)),
        ("[::ffff:10.0.0.1]:53", Endpoint("10.0.0.1", "", 53)),
    ],
)
def test_an_endpoint(text: str, expected: Endpoint) -> None:
    assert endpoint(CONTEXT, PARAM, text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "53", "10.0.0.1", ":53", "10.0.0.1:", "10.0.0.1:x", "2001:db8::1:53", "[10.0.0.1]:53",
     "10.0.0:53", "localhost:53", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:\u0663", "[::1]:-1",
     "10.0.0.1:53\n", "[\0]:1"],
)  # fmt: skip
def test_no_endpoint(text: str) -> None:
    with pytest.raises(click.BadParameter):
        endpoint(CONTEXT, PARAM, text)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("10.0.0.1:1", "[::1]:2"), 2, "are of two address families"),
        (("224.0.0.1:1", "10.0.0.1:2"), 2, "224.0.0.1 can be no datagram's source"),
        (("10.0.0.1:1", "0.0.0.0:2"), 2, "0.0.0.0 can be no datagram's destination"),
        (("10.0.0.1:1", "224.0.0.1:2"), 1, "224.0.0.1 is a multicast group"),
        (("[fe80::1]:1", "[::1]:2"), 2, "a link-local address is on every link: say which"),
        (("[fe80::1%a]:1", "[fe80::2%b]:2"), 2, "by which interface does it come: a or b?"),
        (("--dev", "c", "[fe80::1%a]:1", "[::1]:2"), 2, "by which interface"),
        (("-N", "all", "10.0.0.1:1", "10.0.0.2:2"), 2, "-N all: a datagram comes into one"),
        (("-N", "no-such", "10.0.0.1:1", "10.0.0.2:2"), 2, "no network namespace of this name"),
        (("--dev", "no-such", "10.0.0.1:1", "127.0.0.1:2"), 2, "--dev no-such: no such interface"),
        (("10.0.0.1:1",), 2, "Missing argument 'DST:PORT'"),
    ],
)
def test_what_cannot_be_meant(arguments: tuple[str, ...], status: int, words: str) -> None:
    found, line = failure(*arguments)
    assert (found, words in line) == (status, True), line


def test_a_socket_of_this_machine_takes_it_until_it_is_closed() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        question = ("127.0.0.1:9", f"127.0.0.1:{sock.getsockname()[1]}")
        done = CliRunner().invoke(command, ["-f", "json", *question])
        assert done.exit_code == 0
        (line,) = [line for line in done.output.splitlines() if line.startswith("{")]
        answer: Any = json.loads(line)
        assert (answer["verdict"], answer["way"]) == ("delivered", "over lo")
        assert answer["socket"]["local"] == question[1]
    assert failure(*question) == (3, "the datagram would miss: no-socket")


def test_an_address_of_others_is_looked_up_nowhere() -> None:
    status, line = failure("127.0.0.1:9", "192.0.2.123:53")
    assert status == 3
    assert line.startswith("the datagram would be looked up nowhere: 192.0.2.123 is no address of")


def test_a_namespace_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "the sockets of 1 network namespaces without a process are not known: forbidden"
    nothing = Snapshot([], [why])
    monkeypatch.setattr(ThisMachine, "snapshot", lambda machine: nothing)
    status, line = failure("127.0.0.1:9", "127.0.0.1:53")
    assert (status, line) == (1, f"the network namespace cannot be looked at: {why}")
