"""Keeps what C libraries print on standard error, so that a failure becomes one line of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MOST = 1 << 20
"""Bytes of what was printed."""


class Captured:
    """What was printed, once the block has ended."""

    text = ""


@contextmanager
def captured_stderr() -> Iterator[Captured]:
    """Send file descriptor 2 to a file in memory for the block's duration."""
    captured = Captured()
    sys.stderr.flush()
    saved, sink = os.dup(2), os.memfd_create("stderr")
    try:
        os.dup2(sink, 2)
        yield captured
    finally:
        os.dup2(saved, 2)
        captured.text = os.pread(sink, _MOST, 0).decode("utf-8", "replace")
        os.close(saved)
        os.close(sink)
