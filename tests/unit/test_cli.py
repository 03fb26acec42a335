"""The command line from outside: help, usage, and one line for each failure."""

from __future__ import annotations

import ctypes
import json
import re
import sys
from typing import Any

import pytest

from tests.unit.command import FAKE, failed, run
from tracer import __version__
from tracer.cli.main import COMMANDS
from tracer.incident import SCHEMA
from tracer.recording import codec

_PR_CAPBSET_DROP = 24  # include/uapi/linux/prctl.h


# Help and usage


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(command: list[str], option: str) -> None:
    done = run(*command, option)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: udptrace")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


def test_every_option_has_help() -> None:
    from click import Context, Option

    from tracer.cli.main import udptrace

    group: Any = udptrace
    for name in COMMANDS:
        command = group.get_command(Context(group), name)
        assert command.help
        for param in command.params:
            assert not isinstance(param, Option) or param.help, f"{name} {param.opts}"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["foo"], "No such command 'foo'; see `udptrace --help`"),
        (["--foo"], "see `udptrace live --help`"),
        (["-f", "xml"], "'xml' is not one of 'text', 'json'; see `udptrace live --help`"),
        (["live", "--count", "0"], "0 is not in the range x>=1"),
        (["live", "--duration", "5 parsecs"], "'5 parsecs' is not a duration such as 30, 30s"),
        (["live", "--duration", "0"], "'0' is not between 0 and 100 years"),
        (["live", "-p", "-1"], "-1 is not in the range"),
        (["live", "-p", "2147483647"], "-p 2147483647: there is no such process"),
        (["-N", "no-such"], "-N no-such: no network namespace of this name in /run/netns"),
        (["-w", "-"], "-w -: standard output has the incidents already"),
        (["record"], "Missing option '-w' / '--write'; see `udptrace record --help`"),
        (["-w", "x", "--max-size", "10"], "'10' is less than 64K; see `udptrace live --help`"),
        (["-w", "x", "--max-size", "1e9"], "'1e9' is not a size such as 512K, 10M or 1G"),
        (["--max-size", "1M"], "--max-size: name a file to write with -w FILE"),
        (["record", "-w", "-", "--max-size", "1M"], "--max-size: name a file to write with -w"),
        (["record", "-w", "-", "--ring", "1m"], "--ring: name a file to write with -w FILE"),
        (["-w", "x", "--max-files", "2"], "--max-files: of what size? add --max-size SIZE"),
        (
            ["record", "-w", "x", "--trigger", "any"],
            "--trigger: there is nothing to write without --ring",
        ),
        (["record", "-w", "x", "--trigger", "bad"], "'bad' is not one of"),
        (["replay", "-", "x"], "-: standard input cannot be joined with files; name it alone"),
        (["replay"], "Missing argument 'FILE...'; see `udptrace replay --help`"),
        (["-N", "x", "replay", "f"], "unexpected extra arguments (replay f)"),
    ],
)
def test_usage_errors(arguments: list[str], why: str) -> None:
    done = run(*arguments)
    assert why in failed(done, 2)
    assert done.stdout == ""


def test_version() -> None:
    said = f"udptrace {__version__} (recording format {codec.FORMAT}, JSON schema {SCHEMA})\n"
    assert run("--version").stdout == said


def test_a_direction_needs_a_target() -> None:
    message = failed(run("live", "--direction", "in"), 2)
    assert message == "--direction in: of what? add -c, -N or -p"


def test_waiting_needs_a_container() -> None:
    assert failed(run("live", "--wait"), 2) == "--wait: for what? add -c NAME"


def test_an_unknown_container_says_where_it_was_looked_for() -> None:
    message = failed(run("live", "-c", "no such container"), 2)
    assert message.startswith("-c no such container: no container of this name or id; looked at ")
    assert "docker: " in message
    assert "crictl: " in message


# Doctor, on whatever machine this is


def _no_capabilities() -> None:
    """Takes from a root that runs the tests what makes it root; nothing from another user."""
    libc = ctypes.CDLL(None)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_doctor_without_root_says_what_can_be_said() -> None:
    done = run("doctor", preexec_fn=_no_capabilities)
    assert "needs CAP_BPF, attaching them needs CAP_PERFMON: " in failed(done, 1)
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("a live trace would not start; ")
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if line[0] != " "} >= {"ok", "broken", "unknown"}
    assert "not tried: capabilities are missing" in done.stdout
    assert "\x1b" not in done.stdout


def test_doctor_as_json_says_the_same_as_its_exit_code() -> None:
    done = run("doctor", "-f", "json")
    *findings, conclusion = map(json.loads, done.stdout.splitlines())
    assert {finding["kind"] for finding in findings} == {"finding"}
    assert {finding["status"] for finding in findings} <= {"ok", "degraded", "broken", None}
    assert conclusion["kind"] == "doctor"
    assert conclusion["starts"] is (done.returncode == 0)
    assert conclusion["starts"] is (conclusion["broken"] == 0)
    if done.returncode:
        assert failed(done, 1) == conclusion["reason"]


def test_verbose_tells_the_phases() -> None:
    done = run("--verbose", "--duration", "0.1", command=FAKE)
    for words in ("compile: 0.25 s", "ended: 119 MB", "probes: connect, icmp", "ready after"):
        assert words in done.stderr
    assert re.search(r", peak memory \d\d+ MB$", done.stderr, re.MULTILINE)
    assert "without autobind: no such symbol" in done.stderr


def test_an_internal_error_is_one_line_or_a_traceback() -> None:
    code = (
        "import sys, tracer.cli.replay as r\n"
        "def boom(options): raise RuntimeError('two\\nlines')\n"
        "r.replay = boom\n"
        "from tracer.cli.main import main\n"
        "main(['replay', 'x'])"
    )
    command = (sys.executable, "-c", code)
    assert failed(run(command=command), 1) == (
        "internal error: RuntimeError: two lines; run with UDPTRACE_DEBUG=1 for the traceback"
    )
    assert "Traceback" in run(command=command, env={"UDPTRACE_DEBUG": "1"}).stderr
