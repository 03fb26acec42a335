"""Kernel symbols: the names a compiler gave a function, and the function at an address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock, Thread

KALLSYMS = Path("/proc/kallsyms")

# The kernel takes 7 ms for so much of it: little is read behind what is looked for.
_CHUNK = 1 << 17
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
        self._looking = Lock()

    def __call__(self, address: int) -> str | None:
        """The function's name without its clone suffix; a scan the first time, then from memory."""
        if address not in self._known:
            self._look_up([address])
        return self._known[address]

    def expect(self, addresses: Iterable[int]) -> None:
        """Begin to look up what will be asked for, in a thread: the kernel takes long to write the
        table, and other threads run meanwhile.

        Where there is no room for a thread, or for its work, it is left to who asks.
        """
        with suppress(RuntimeError):
            Thread(target=self._prepare, args=(list(addresses),), daemon=True).start()

    def _prepare(self, addresses: list[int]) -> None:
        with suppress(MemoryError):
            self._look_up(addresses)

    def _look_up(self, addresses: list[int]) -> None:
        """Name those not known yet, in one scan; after the one that is under way, if any."""
        with self._looking:
            wanted = [address for address in addresses if address not in self._known]
            nearest = dict.fromkeys(wanted, (0, ""))
            for start, name in self._near(wanted):
                for address in wanted:
                    if nearest[address][0] < start <= address:
                        nearest[address] = start, name
            for address, (start, name) in nearest.items():
                self._known[address] = _named(name) if address - start <= _FUNCTION_SPAN else None

    def _near(self, addresses: list[int]) -> Iterator[tuple[int, str]]:
        """Text symbols that share an address's upper bits, or those of the 64 KiB below."""
        pages = {page for address in addresses for page in _pages(address)}
        # Each begins with what is searched for: a pattern that begins otherwise, with the start of
        # a line or a choice, takes ten times as long. No name has room for an address in it.
        patterns = [
            re.compile(rb"(%012x[0-9a-f]{4}) [tTwW] (\S+)" % (page & (1 << 48) - 1))
            for page in pages
        ]
        for text in _chunks(self._kallsyms) if addresses else ():
            for match in (match for pattern in patterns for match in pattern.finditer(text)):
                yield int(match.group(1), 16), match.group(2).decode("ascii", "replace")
            # The kernel writes each line when it is read; its own symbols come sorted, and the
            # modules', which lie above them, last.
            if int(text[:16], 16) > max(addresses):
                return


def _named(symbol: str) -> str | None:
    """The function that a symbol is of; None for what stands in for another."""
    return None if _TRAMPOLINES.search(symbol) else symbol.split(".", 1)[0]


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
