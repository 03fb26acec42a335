"""Work in a child process: what it made, or why not, comes back."""

from __future__ import annotations

import os
import signal

import pytest

from tracer.errors import StartError
from tracer.kernel.child import in_child


def test_the_result_comes_back_whole_and_nothing_else_does() -> None:
    seen: list[int] = []

    def work() -> bytes:
        seen.append(1)
        return b"-made" * 100_000

    made = in_child("nothing", work)
    assert made.content == b"-made" * 100_000
    assert 1 < made.peak_mb < 10_000
    assert seen == []


def test_a_reason_with_its_remedy_comes_back() -> None:
    def work() -> bytes:
        raise StartError("no BCC", "install it")

    with pytest.raises(StartError) as caught:
        in_child("nothing", work)
    assert (caught.value.what, caught.value.remedy) == ("no BCC", "install it")


def test_an_unforeseen_failure_is_one_line() -> None:
    with pytest.raises(StartError, match=r"^cannot compile \(ZeroDivisionError: .*\): please"):
        in_child("cannot compile", lambda: bytes(1 // 0))


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "signal SIGTERM"),
        (lambda: os._exit(3), "exit status 3"),
    ],
)
def test_a_child_that_dies_is_told_of(end: object, words: str) -> None:
    def work() -> bytes:
        assert callable(end)
        end()
        return b""

    with pytest.raises(StartError, match=f"cannot compile .the compiler ended with {words}"):
        in_child("cannot compile", work)
