"""The ports that the kernel chooses from in a network namespace."""

from __future__ import annotations

from pathlib import Path

_SYSCTLS = Path("/proc/sys/net/ipv4")


def read_local_ports() -> tuple[int, int, str]:
    """The first and the last of them, and those reserved among them as they are written there.

    Of the namespace that the thread is in: /proc/sys shows that one's. Raises OSError.
    """
    first, last = (_SYSCTLS / "ip_local_port_range").read_text().split()
    return int(first), int(last), (_SYSCTLS / "ip_local_reserved_ports").read_text().strip()
