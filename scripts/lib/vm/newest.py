"""Asks the mirror which series trixie-backports' newest kernel is, and remembers it for a day."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from . import archive, cache, mirror
from .errors import VmError

SUITES = ("trixie-backports",)
FRESH_SECONDS = 24 * 3600


def newest_series() -> str:
    """The series, such as 7.3; without the network, the last one known."""
    memory = cache.directory() / "newest-kernel.json"
    series, age = _remembered(memory)
    if series is not None and 0 <= age < FRESH_SECONDS:
        return series
    with cache.lock("newest-kernel"):
        try:
            series = _ask()
        except VmError:
            if series is None:
                raise
            return series
        partial = memory.with_suffix(".partial")
        partial.write_text(json.dumps({"series": series, "asked": time.time()}))
        partial.rename(memory)
    return series


def series_of(package: str) -> str:
    """The series in a kernel package's name: linux-image-6.12.107+deb13-amd64 is 6.12."""
    found = re.match(r"linux-[a-z]+-(\d+\.\d+)", package)
    if not found:
        raise VmError(f"the mirror's kernel package has an unexpected name: {package}")
    return found[1]


def _remembered(memory: Path) -> tuple[str | None, float]:
    try:
        known = json.loads(memory.read_text())
        return str(known["series"]), time.time() - float(known["asked"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, 0.0


def _ask() -> str:
    scratch = cache.directory() / "newest-kernel.scratch"
    archive.remove_tree(scratch)  # should an earlier one have been killed
    scratch.mkdir()
    try:
        apt = archive.open_apt(scratch, mirror.find(), SUITES)
        return series_of(apt.kernel_package("linux-image"))
    finally:
        archive.remove_tree(scratch)
