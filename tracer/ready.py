"""The ready file: it appears once the trace is complete, so that scripts need not sleep."""

from __future__ import annotations

import contextlib
import os

from tracer.errors import UdptraceError


def remove_ready(path: str) -> None:
    """Take away what an earlier trace left, before anybody waits for it. Raises UdptraceError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _failure(path, error) from None


def write_ready(path: str) -> None:
    """Create the file, holding our process number, at once and whole. Raises UdptraceError."""
    draft = f"{path}.{os.getpid()}"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, b"%d\n" % os.getpid())
        finally:
            os.close(fd)
        os.rename(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise _failure(path, error) from None


def _failure(path: str, error: OSError) -> UdptraceError:
    return UdptraceError(f"ready file {path}: {os.strerror(error.errno or 0)}")
