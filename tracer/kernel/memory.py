"""Gives back the memory that compiling took: the heap's, and the compiler libraries' pages.

Linking libLLVM into the process reads some 40 MB of its symbol and relocation tables once, and
compiling runs through as much of its code; none of it is needed for the hours a trace may last.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_MADV_DONTNEED = 4  # include/uapi/asm-generic/mman-common.h

# A mapping's first line: addresses, permissions, offset, device, inode, path.
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(/\S+)$")
_LIBRARIES = re.compile(r"/lib(LLVM|clang|bcc)[^/]*$")


def release() -> None:
    """Give back what can be had again from the file, or is free. Never fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, length in _clean_mappings():
        libc.madvise(start, length, _MADV_DONTNEED)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)


def _clean_mappings() -> Iterator[tuple[int, int]]:
    """(start, length) of read-only mappings of the compiler's files, without a page of our own.

    Relocated data is read-only too, but its pages were written before it became so: dropping them
    would bring back the file's. They show as Anonymous, and such a mapping is left alone.
    """
    try:
        lines = _SMAPS.read_text().splitlines()
    except OSError:
        return
    current: tuple[int, int] | None = None
    for line in lines:
        mapping = _MAPPING.match(line)
        if mapping:
            start, end = int(mapping[1], 16), int(mapping[2], 16)
            wanted = mapping[3] in ("r--p", "r-xp") and _LIBRARIES.search(mapping[4])
            current = (start, end - start) if wanted else None
        elif line.startswith("Anonymous:") and current is not None:
            if line.split()[1] == "0":
                yield current
            current = None
