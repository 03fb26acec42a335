"""Standard output for results and standard error for all else, whatever became of them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import sys

from tracer.errors import UdptraceError

PROG = "udptrace"

_NOBODY_READS = (errno.EPIPE, errno.EIO)
"""Of a pipe and of a terminal. Of a disk that is full there may be more to say later."""


def prepare_stdout() -> None:
    """Let no character of a name fail the output of a terminal that cannot show it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(text: str | bytes, *, flush: bool = True) -> None:
    """Write results, text or bytes, and by default let them be seen at once.

    Raises BrokenPipeError when nobody reads them any more, UdptraceError when they cannot be
    written for another reason.
    """
    if sys.stdout is None:  # the caller closed it
        return
    try:
        if isinstance(text, bytes):
            sys.stdout.buffer.write(text)
        else:
            sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno == errno.EIO and _is_terminal():
            raise BrokenPipeError from None
        drop_stdout()
        raise UdptraceError(f"standard output: {os.strerror(error.errno or 0)}") from None


class Results:
    """The results of a trace, on standard output until nobody reads them any more."""

    def __init__(self) -> None:
        self._closed = False
        self._pipe = _pipe_of_stdout()

    def __call__(self, text: str) -> None:
        """Write them like `show`; nowhere once nobody reads."""
        if self._closed:
            return
        try:
            show(text)
        except BrokenPipeError:
            self._close()

    def closed(self) -> bool:
        """Whether nobody reads them: of a pipe that is known before the next of them comes."""
        if self._pipe is not None and self._pipe.poll(0):
            self._close()
        return self._closed

    def _close(self) -> None:
        self._closed, self._pipe = True, None
        drop_stdout()


def _pipe_of_stdout() -> select.poll | None:
    """Tells by an error that a pipe or a socket has lost its reader; None where it is neither."""
    if sys.stdout is None:
        return None
    try:
        stdout = sys.stdout.fileno()
    except (OSError, ValueError):
        return None
    kind = stat.S_IFMT(os.fstat(stdout).st_mode)
    if kind not in (stat.S_IFIFO, stat.S_IFSOCK):
        return None
    pipe = select.poll()
    pipe.register(stdout, 0)
    return pipe


def _is_terminal() -> bool:
    """Whether standard output is one, or was: one that is gone answers isatty() no more."""
    return stat.S_ISCHR(os.fstat(1).st_mode)


def finish_stdout() -> None:
    """Write out what has not been seen yet. Raises like `show`."""
    show("")


def drop_stdout() -> None:
    """Send what is still buffered nowhere: the interpreter would complain about it at its end."""
    _drop(1)


def _drop(stream: int) -> None:
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)


def say(line: str) -> None:
    """Tell the user something beside the results: one line on stderr, after the program's name."""
    tell(f"{PROG}: {line}")


def tell(line: str) -> None:
    """One line on stderr; nothing in it can move a terminal's cursor."""
    try:
        with contextlib.suppress(ValueError, AttributeError):
            print(printable(line), file=sys.stderr, flush=True)
    except OSError as error:
        if error.errno in _NOBODY_READS:
            _drop(2)


def printable(text: str) -> str:
    """The text with control characters and the like as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
