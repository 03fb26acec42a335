"""What BPF leaves in a kernel: the programs and maps there are, the kprobes, what is pinned."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BPF_SYSCALL = 321  # x86-64
BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID = 11, 12

KPROBES = Path("/sys/kernel/debug/kprobes/list")
PINNED = Path("/sys/fs/bpf")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Objects:
    """The objects of the whole machine, whoever made them."""

    programs: frozenset[int]
    maps: frozenset[int]
    kprobes: tuple[str, ...]
    """The lines of the kernel's list, sorted: function and kind."""
    pinned: frozenset[str]


def objects() -> Objects:
    """What there is now."""
    lines = (line.split(maxsplit=1)[1] for line in KPROBES.read_text().splitlines())
    return Objects(
        frozenset(_ids(BPF_PROG_GET_NEXT_ID)),
        frozenset(_ids(BPF_MAP_GET_NEXT_ID)),
        tuple(sorted(lines)),
        frozenset(os.listdir(PINNED)),
    )


def _ids(command: int) -> Iterator[int]:
    """The numbers of all programs, or of all maps."""
    request = (ctypes.c_uint32 * 4)()  # start_id, next_id, open_flags
    while _libc.syscall(BPF_SYSCALL, command, request, ctypes.sizeof(request)) == 0:
        yield request[1]
        request[0] = request[1]
