"""The failures of a recording, said in one line."""

from __future__ import annotations

import os

from tracer.errors import UdptraceError


class RecordingError(UdptraceError):
    """A recording that cannot be read or written; str(error) is the whole line."""


def os_reason(error: OSError) -> str:
    """The words for an OSError without its number and path: "No such file or directory"."""
    return os.strerror(error.errno) if error.errno else str(error)
