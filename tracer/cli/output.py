"""Where a report or an export goes: a file that only its owner may read, or standard output."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tracer.cli.streams import show
from tracer.errors import UdptraceError, UsageError


def write_out(path: str | None, pieces: Iterable[str | bytes], inputs: Iterable[str]) -> None:
    """Write all pieces to the file, or to standard output (None or "-").

    Raises UdptraceError when that fails, UsageError when it would overwrite one of ``inputs``.
    """
    if path is None or path == "-":
        for piece in pieces:
            show(piece, flush=False)
        show("")
        return
    for source in inputs:
        if os.path.exists(path) and os.path.samefile(path, source):
            raise UsageError(f"-o {path}: this is the recording itself")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with open(os.open(path, flags, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece if isinstance(piece, bytes) else piece.encode("utf-8"))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UdptraceError(f"-o {path}: cannot be written: {reason}") from None
