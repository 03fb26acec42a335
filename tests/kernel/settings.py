"""A setting of the machine, by its file in /proc/sys or /sys, for as long as a block runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def setting(path: Path, value: str) -> Iterator[None]:
    """Set it, and set it back at the end, however that comes."""
    before = path.read_text()
    path.write_text(value)
    try:
        yield
    finally:
        path.write_text(before)
