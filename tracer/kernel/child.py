"""Work done in a child process, for its memory is given back whole when it ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from tracer.errors import StartError
from tracer.kernel import features


class Made(NamedTuple):
    """What a child made, and how much memory it took at most, in megabytes."""

    content: bytes
    peak_mb: float


def in_child(what: str, work: Callable[[], bytes]) -> Made:
    """The bytes that ``work`` returns. Raises StartError when it does, or when the child dies.

    ``what`` is what cannot be done then.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(writer, what, work)
    os.close(writer)
    try:
        with open(reader, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status, usage = os.wait4(child, 0)
    content = _result(answer, what, os.waitstatus_to_exitcode(status))
    return Made(content, usage.ru_maxrss * 1024 / 1e6)


def _answer(writer: int, what: str, work: Callable[[], bytes]) -> None:
    """In the child: b"+" and the result, or b"-" and the StartError's parts. Never returns."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        try:
            answer = b"+" + work()
        except StartError as error:
            answer = _failure(error.what, error.remedy)
        except Exception as error:
            answer = _failure(f"{what} ({type(error).__name__}: {error})", features.REPORT_IT)
        with open(writer, "wb") as pipe:
            pipe.write(answer)
        status = 0
    finally:
        os._exit(status)  # no exit handler of the parent's


def _failure(what: str, remedy: str) -> bytes:
    return b"-" + json.dumps([what, remedy]).encode()


def _result(answer: bytes, what: str, code: int) -> bytes:
    if answer.startswith(b"+"):
        return answer[1:]
    if answer.startswith(b"-"):
        raise StartError(*json.loads(answer[1:]))
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    raise StartError(
        f"{what} (the compiler ended with {how})",
        f"it may have run out of memory: see ulimit -v and dmesg; or {features.REPORT_IT}",
    )
