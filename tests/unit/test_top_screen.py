"""`top` on a terminal: its keys, its size, and that the terminal is given back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.command import ENVIRONMENT, FAKE, failed, run

DEADLINE_S = 30
TAKEN, GIVEN_BACK = b"\x1b[?1049h", b"\x1b[?1049l"
"""What switches an xterm to its other screen, and back."""


class Terminal:
    """The command on a terminal of its own; what it drew since it was last asked."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(24, 100)
        self.before = termios.tcgetattr(self._theirs)
        unwanted = ("LINES", "COLUMNS")
        env = {k: v for k, v in ENVIRONMENT.items() if k not in unwanted}
        self.process = subprocess.Popen(
            [*FAKE, "top", "--interval", "200ms", *arguments],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**env, "TERM": "xterm", **environment},
            start_new_session=True,
        )
        self.drawn = b""

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        self.drawn = b""
        os.write(self._ours, keys)

    def wait_for(self, words: bytes) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while words not in self.drawn:
            assert time.monotonic() < deadline, (words, self.drawn)
            if select.select([self._ours], [], [], 0.1)[0]:
                self.drawn += os.read(self._ours, 65536)

    def ended(self) -> int:
        """Its exit code, when it has ended and given the terminal back."""
        self.wait_for(GIVEN_BACK)
        code = self.process.wait(DEADLINE_S)
        assert termios.tcgetattr(self._theirs) == self.before
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    terminal.wait_for(b"no-socket")
    yield terminal
    terminal.close()


def test_keys_and_a_new_size(terminal: Terminal) -> None:
    assert TAKEN in terminal.drawn
    assert b"space pause" in terminal.drawn
    terminal.press(b"b")
    terminal.wait_for(b"no socket for 172.17.0.2:45609")
    terminal.press(b"p")
    terminal.wait_for(b"PAUSED")
    terminal.press(b"e")
    terminal.wait_for(b"error")  # the s of misses stays
    terminal.drawn = b""
    terminal.resize(40, 70)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    # The keys are on the last line of the new size.
    terminal.wait_for(b"\x1b[40")
    terminal.press(b"q")
    assert terminal.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_gives_the_terminal_back(
    terminal: Terminal, number: signal.Signals
) -> None:
    terminal.drawn = b""
    os.kill(terminal.process.pid, number)
    assert terminal.ended() == 0


def test_a_failure_gives_the_terminal_back_and_says_why() -> None:
    terminal = Terminal(FAKE_SESSION="failing")
    try:
        assert terminal.ended() == 1
        terminal.wait_for(b"the session broke")
        assert terminal.drawn.index(GIVEN_BACK) < terminal.drawn.index(b"the session broke")
    finally:
        terminal.close()


def test_as_many_intervals_as_asked_for_on_a_terminal() -> None:
    terminal = Terminal("--count", "2")
    try:
        assert terminal.ended() == 0
        terminal.wait_for(b"probes proven")
    finally:
        terminal.close()


def test_a_terminal_that_cannot_be_drawn_on_gets_lines() -> None:
    terminal = Terminal("--count", "1", TERM="dumb")
    try:
        terminal.wait_for(b"plain lines, for the terminal cannot move its cursor")
        terminal.wait_for(b"probes proven")
        assert TAKEN not in terminal.drawn
        assert terminal.process.wait(DEADLINE_S) == 0
    finally:
        terminal.close()


# Not on a terminal


def test_blocks_of_lines_and_their_number() -> None:
    done = run("top", "--interval", "300ms", "--count", "3", "--lines", "2", command=FAKE)
    assert done.returncode == 0
    blocks = done.stdout.split("\n\n")
    assert blocks.pop() == ""
    assert len(blocks) == 3
    assert "nothing lost" in blocks[0]
    assert len(blocks[-1].splitlines()) == 5  # the status, the heads, two rows, how many more
    assert "probes proven" in done.stderr


def test_rows_as_json_and_the_rest_at_the_end() -> None:
    done = run(
        "top", "-f", "json", "--interval", "300ms", "--duration", "1s", "--by", "netns",
        command=FAKE,
    )  # fmt: skip
    assert done.returncode == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["kind"] for line in lines} == {"interval", "top"}
    intervals = [line for line in lines if line["kind"] == "interval"]
    assert [line["final"] for line in intervals] == [False] * (len(intervals) - 1) + [True]
    totals = [line["misses"]["total"] for line in lines if line["kind"] == "top"]
    assert totals == sorted(totals)
    assert f"{totals[-1]} misses" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-f", "screen"], "-f screen: standard output is no terminal; use -f text"),
        (["--interval", "10ms"], "--interval: at least 100ms"),
        (["--interval", "soon"], "'soon' is not a duration"),
        (["--by", "port"], "'port' is not one of"),
    ],
)
def test_usage_errors(arguments: list[str], why: str) -> None:
    assert why in failed(run("top", *arguments), 2)
