"""Which kernels there are, where Debian keeps each, and which one a user means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import newest
from .errors import VmError


@dataclass(frozen=True)
class Kernel:
    """A kernel series and the Debian suites which hold it."""

    series: str
    suites: tuple[str, ...]
    note: str
    name: str  # of its images; the newest one's stays when its series moves on


def _stable(series: str, number: int, code: str) -> Kernel:
    suites = (code, f"{code}-updates", f"{code}-security")
    return Kernel(series, suites, f"Debian {number} ({code})", series)


STABLE = (_stable("5.10", 11, "bullseye"), _stable("6.1", 12, "bookworm"),
          _stable("6.12", 13, "trixie"))  # fmt: skip
DEFAULT_OF_SUITE = {"trixie": "6.12", "bookworm": "6.1"}
NEWEST_NAMES = ("newest", "backports")


def select(
    wanted: str | None, suite: str, newest_series: Callable[[], str] = newest.newest_series
) -> Kernel:
    """The kernel that --kernel names, or the suite's own; asks for the newest only if it must."""
    wanted = wanted or DEFAULT_OF_SUITE[suite]
    for kernel in STABLE:
        if kernel.series == wanted:
            return kernel
    backported = _backported(newest_series())
    if wanted in (backported.series, *NEWEST_NAMES):
        return backported
    known = ", ".join(kernel.series for kernel in (*STABLE, backported))
    raise VmError(f"there is no kernel {wanted}; there are {known} (also called newest)")


def listing(newest_series: Callable[[], str] = newest.newest_series) -> str:
    """What --list prints."""
    lines = []
    for kernel in (*STABLE, _backported(newest_series())):
        defaults = [s for s, series in DEFAULT_OF_SUITE.items() if series == kernel.series]
        note = f", default of --suite {defaults[0]}" if defaults else ""
        lines.append(f"{kernel.series:6}{kernel.note}{note}")
    return "\n".join(lines)


def _backported(series: str) -> Kernel:
    return Kernel(series, newest.SUITES, "trixie-backports, also called newest", "newest")
