"""Whether this process is in the machine's own namespaces, or in those of a container."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

NAMESPACES = Path("/proc/self/ns")
INIT_MOUNTS = Path("/proc/1/ns/mnt")

# PROC_USER_INIT_INO and PROC_PID_INIT_INO of include/linux/proc_ns.h.
_INITIAL = {"user": 0xEFFFFFFD, "pid": 0xEFFFFFFC}


def is_initial(kind: Literal["user", "pid"]) -> bool | None:
    """Whether it is in the initial namespace of a kind; None where that is not told."""
    inode = _inode(NAMESPACES / kind)
    return None if inode is None else inode == _INITIAL[kind]


def in_container() -> bool | None:
    """Whether the processes or the files it sees are a container's; None where that is not told."""
    if is_initial("pid") is False:
        return True
    own, init = _inode(NAMESPACES / "mnt"), _inode(INIT_MOUNTS)
    return None if None in (own, init) else own != init


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
