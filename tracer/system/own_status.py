"""What the kernel tells of this process: /proc/self/status."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def own_status(name: str) -> str | None:
    """A line's value, such as "2" of ``Seccomp``; None where it is not told."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    values = (line.removeprefix(f"{name}:") for line in lines if line.startswith(f"{name}:"))
    return next(values, "").strip() or None
