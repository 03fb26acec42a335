"""Keeps what C libraries print on standard error, so that a failure becomes one line of ours."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


class Captured:
    """What was printed, once the block has ended."""

    text = ""


@contextmanager
def captured_stderr() -> Iterator[Captured]:
    """Send file descriptor 2 to a temporary file for the block's duration."""
    captured = Captured()
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield captured
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            captured.text = _read(sink)


def _read(sink: IO[bytes]) -> str:
    sink.seek(0)
    return sink.read(1 << 20).decode("utf-8", "replace")
