"""Kernel symbols: the names a compiler gave a function, and the function at an address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

KALLSYMS = Path("/proc/kallsyms")

_CHUNK = 1 << 20
# A clone with fewer or constant arguments is still the whole function; `.part.N` and `.cold` are
# pieces of one.
_VARIANT = rb"(?m)^[0-9a-f]+ [tT] (%s(?:\.(?:isra|constprop)\.\d+)+)(?=\s|$)"
# No kernel function is longer than this; what lies further away is not this function.
_FUNCTION_SPAN = 1 << 16
# Where a return address points when another tracer replaced it.
_TRAMPOLINES = re.compile(r"trampoline|return_to_handler|rethook")


def variants(symbol: str, kallsyms: Path = KALLSYMS) -> list[str]:
    """The compiler's clones of ``symbol``: "udp4_lib_lookup2.isra.0" on 5.10. Sorted."""
    pattern = re.compile(_VARIANT % re.escape(symbol.encode()))
    found = {m.group(1).decode() for text in _chunks(kallsyms) for m in pattern.finditer(text)}
    return sorted(found)


def tells_addresses(kallsyms: Path = KALLSYMS) -> bool:
    """Whether the table has addresses in it: to the unprivileged, all of them read as 0."""
    return any(
        line.split(b" ", 1)[0].strip(b"0")
        for text in islice(_chunks(kallsyms), 1)
        for line in text.splitlines()
    )


class CallerNames:
    """Names the function a return address lies in; a hint, so None whenever it is not certain.

    With kernel.kptr_restrict=2 every address reads as 0 and nothing is named.
    """

    def __init__(self, kallsyms: Path = KALLSYMS) -> None:
        self._kallsyms = kallsyms
        self._known: dict[int, str | None] = {0: None}

    def __call__(self, address: int) -> str | None:
        """The function's name without its clone suffix; a scan the first time, then from memory."""
        if address not in self._known:
            self._known[address] = self._look_up(address)
        return self._known[address]

    def _look_up(self, address: int) -> str | None:
        best_start, best_name = 0, None
        for start, name in self._near(address):
            if best_start < start <= address:
                best_start, best_name = start, name
        if best_name is None or address - best_start > _FUNCTION_SPAN:
            return None
        return None if _TRAMPOLINES.search(best_name) else best_name.split(".", 1)[0]

    def _near(self, address: int) -> Iterator[tuple[int, str]]:
        """Text symbols that share the address's upper bits, or those of the 64 KiB below."""
        prefixes = {b"%012x" % (page & (1 << 48) - 1) for page in _pages(address)}
        pattern = re.compile(
            rb"(?m)^((?:%s)[0-9a-f]{4}) [tTwW] (\S+)" % b"|".join(sorted(prefixes))
        )
        for text in _chunks(self._kallsyms):
            for match in pattern.finditer(text):
                yield int(match.group(1), 16), match.group(2).decode("ascii", "replace")
            # The kernel writes each line when it is read; its own symbols come sorted, and the
            # modules', which lie above them, last.
            if int(text[:16], 16) > address:
                return


def _pages(address: int) -> tuple[int, int]:
    return address >> 16, (address >> 16) - 1


def _chunks(path: Path) -> Iterator[bytes]:
    """The file in pieces that end at a line's end: whole, it would cost 10 MB."""
    rest = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                whole, newline, rest_of_piece = piece.rpartition(b"\n")
                if not newline:
                    rest += piece
                    continue
                yield rest + whole + newline
                rest = rest_of_piece
    except OSError:
        return
    if rest:
        yield rest
