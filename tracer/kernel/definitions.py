"""The C definitions for the running kernel: read from its BTF once, then kept with the probes."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import closing
from pathlib import Path

from tracer.kernel import btf, cache, casts, layout

NOTES = Path("/sys/kernel/notes")

# An ELF note (elf.h): the sizes of its name and of what it says, its kind (NT_GNU_BUILD_ID), the
# name, then a hash of all that the linker has put into the kernel, its BTF included.
_BUILD_ID = re.compile(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", re.DOTALL)


def read_definitions() -> dict[str, int]:
    """From BTF. Raises StartError without a usable one."""
    with closing(btf.Btf()) as types:
        return {**layout.definitions(types), **casts.definitions(types)}


def known_definitions() -> dict[str, int]:
    """The same, which takes a tenth of a start, or what an earlier start of this kernel has read.

    Raises StartError.
    """
    key = _key()
    kept = cache.read(key) if key else None
    found: dict[str, int] = read_definitions() if kept is None else json.loads(kept)
    if key is not None and kept is None:
        cache.write(key, json.dumps(found).encode())
    return found


def _key() -> str | None:
    """A name for the kernel and for how it is read; None: this kernel has no name of its own."""
    try:
        build = _BUILD_ID.search(NOTES.read_bytes())
        size = btf.VMLINUX.stat().st_size
    except OSError:
        return None
    if build is None:
        return None
    digest = hashlib.sha256(b"%s %d " % (build[1], size))
    for reader in ("btf.py", "layout.py", "casts.py"):
        digest.update(Path(__file__).with_name(reader).read_bytes())
    return digest.hexdigest()
