"""Which kernels there are, where Debian keeps each, and which one a user means."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

from . import archive, cache, mirror
from .errors import VmError

# The newest backported kernel changes its name now and then: ask the mirror once a day.
NEWEST_IS_FRESH_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Kernel:
    """A kernel series and the Debian suites which hold it."""

    series: str
    suites: tuple[str, ...]
    note: str


STABLE = (
    Kernel("5.10", ("bullseye", "bullseye-security"), "Debian 11 (bullseye)"),
    Kernel("6.1", ("bookworm", "bookworm-updates", "bookworm-security"), "Debian 12 (bookworm)"),
    Kernel("6.12", ("trixie", "trixie-updates", "trixie-security"), "Debian 13 (trixie)"),
)
BACKPORTS = ("trixie-backports",)
DEFAULT_OF_SUITE = {"trixie": "6.12", "bookworm": "6.1"}
NEWEST_NAMES = ("newest", "backports")


def select(wanted: str | None, suite: str) -> Kernel:
    """The kernel that --kernel names, or the suite's own."""
    wanted = wanted or DEFAULT_OF_SUITE[suite]
    for kernel in STABLE:
        if kernel.series == wanted:
            return kernel
    newest = newest_kernel()
    if wanted in (newest.series, *NEWEST_NAMES):
        return newest
    known = ", ".join(kernel.series for kernel in (*STABLE, newest))
    raise VmError(f"there is no kernel {wanted}; there are {known} (or: newest)")


def listing() -> str:
    """What --list prints."""
    lines = []
    for kernel in (*STABLE, newest_kernel()):
        marks = [f"default of {s}" for s, d in DEFAULT_OF_SUITE.items() if d == kernel.series]
        lines.append("\t".join([kernel.series, kernel.note, *marks]))
    return "\n".join(lines)


def newest_kernel() -> Kernel:
    """The newest kernel of trixie-backports, by what the mirror has; remembered for a day."""
    memory = cache.directory() / "newest-kernel.json"
    known = None
    try:
        known = json.loads(memory.read_text())
        if 0 <= time.time() - known["asked"] < NEWEST_IS_FRESH_SECONDS:
            return _newest(known["series"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        series = _ask_newest()
    except VmError:
        if isinstance(known, dict) and "series" in known:
            return _newest(known["series"])  # without the network, what was there last
        raise
    with cache.lock("newest-kernel"):
        memory.write_text(json.dumps({"series": series, "asked": time.time()}))
    return _newest(series)


def series_of(package: str) -> str:
    """The series in a kernel package's name: linux-image-6.12.107+deb13-amd64 is 6.12."""
    found = re.match(r"linux-[a-z]+-(\d+\.\d+)", package)
    if not found:
        raise VmError(f"the mirror's kernel package has an unexpected name: {package}")
    return found[1]


def _newest(series: str) -> Kernel:
    return Kernel(series, BACKPORTS, "newest of trixie-backports")


def _ask_newest() -> str:
    with archive.PrivateApt(mirror.find(), BACKPORTS) as apt:
        return series_of(apt.kernel_package("linux-image"))
