"""The probes' program: compiled, attached; its records, and what its maps have."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from tracer.kernel import features, symbols
from tracer.kernel.btf import Btf
from tracer.kernel.compiler import compiled
from tracer.kernel.layout import definitions
from tracer.kernel.loader import Loaded, RingBuffer
from tracer.kernel.maps import possible_processors
from tracer.kernel.probes import Probe
from tracer.wire import LOSS_NAMES, PACKET_BYTES, MissKey, MissValue

# Nodes of a hash chain looked at for one miss. A slot is shared by other ports and namespaces, so a
# few of them may be strangers'; the verifier's time grows with it (0.07 s for 256).
WALK_NODES = 256

# Records taken at a time. In a storm the buffer fills as fast as it is read: without a bound one
# reading would neither end nor fit into memory. What it has no room for meanwhile is counted.
BATCH = 1024


class AttachError(Exception):
    """A probe could not be loaded or attached: the reason, without the probe's name.

    ``remedy`` is what may mend it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True)
class Variant:
    """What the probes are compiled to do."""

    lookups: bool = True
    """The probe on the receive path, without which verdicts rest on the skb and the walk."""
    all_icmp: bool = False
    """Tell "fragmentation needed" too."""
    snaplen: int = 0
    """Bytes kept of a datagram that missed, from its IP header on; its headers at least."""
    states: bool = False
    """Tell of sockets made, of those closed that never had a port, and what connect() caused."""


def read_definitions() -> dict[str, int]:
    """C definitions for the running kernel. Raises StartError without usable BTF."""
    with closing(Btf()) as btf:
        return definitions(btf)


class Program:
    """The BPF program: attaches probes, yields records, reads maps.

    Raises StartError from the constructor when it cannot be compiled, or its maps not be made.
    """

    def __init__(self, layout: dict[str, int], variant: Variant) -> None:
        made = compiled("udptrace.c", {**layout, **_constants(variant)})
        self.compiler_mb = made.peak_mb
        """Memory that compiling took; None: an earlier start has done it."""
        self._loaded = Loaded(made.code)
        try:
            self._events = RingBuffer(self._loaded.map("events"), BATCH)
        except BaseException:
            self._loaded.close()
            raise
        self._misses = self._loaded.map("misses")
        self._losses = self._loaded.map("losses")

    def attach(self, probe: Probe) -> str:
        """Load the probe's programs and attach them; returns the symbol. Raises AttachError."""
        programs = [
            (self._load(function), at_return)
            for function, at_return in ((probe.enter, False), (probe.exit, True))
            if function
        ]
        reasons: list[str] = []
        for symbol in probe.symbols:
            for name in (symbol, None):
                # The plain name first: only a kernel without it is worth reading kallsyms for.
                names = [name] if name else symbols.variants(symbol)
                if names and self._attach_all(names, programs, reasons):
                    return names[0]
        raise AttachError(
            f"no kernel function {' or '.join(probe.symbols)} can be probed"
            + (f" ({reasons[-1]})" if reasons else ""),
            features.REPORT_IT,
        )

    def poll(self, timeout_ms: int) -> list[bytes]:
        """Wait for records at most so long (milliseconds), and take all there are, up to `BATCH`.

        As many as that may not be all.
        """
        return self._events.poll(timeout_ms)

    def losses(self) -> dict[str, int]:
        """The kernel's loss counters since the load, by the names of `tracer.events.LOSSES`."""
        counted = (ctypes.c_uint64 * possible_processors())()
        totals = {}
        for index, name in enumerate(LOSS_NAMES):
            self._losses.read(ctypes.c_int(index), counted)
            totals[name] = sum(counted)
        return totals

    def misses(self) -> Iterator[tuple[MissKey, MissValue]]:
        """Every key of the table of misses with its counters, as it is now."""
        return self._misses.items(MissKey, MissValue)

    def take_miss(self, key: MissKey) -> MissValue | None:
        """Take a key out of the table of misses, with its last counters; None: it is gone already.

        Raises OSError.
        """
        value = MissValue()
        return value if self._misses.take(key, value) else None

    def keep_only(self, netns: Iterable[int] | None) -> None:
        """Drop the misses of all other network namespaces than these inode numbers; None: none."""
        targets, only = self._loaded.map("targets"), self._loaded.map("only_targets")
        wanted = set() if netns is None else set(netns)
        for inum in wanted:
            targets.write(ctypes.c_uint32(inum), ctypes.c_uint8(1))
        only.write(ctypes.c_int(0), ctypes.c_uint32(netns is not None))
        for key in list(targets.keys(ctypes.c_uint32)):
            if key.value not in wanted:
                targets.remove(key)

    def close(self) -> None:
        """Detach every probe and free the maps."""
        self._events.close()
        self._loaded.close()

    def _load(self, function: str) -> int:
        try:
            return self._loaded.load(function)
        except OSError as error:
            why, what_to_do = features.why_refused()
            raise AttachError(f"cannot load {function}: {why}", what_to_do) from error

    def _attach_all(
        self, names: list[str], programs: list[tuple[int, bool]], reasons: list[str]
    ) -> bool:
        """All of a function's variants, or none."""
        before = self._loaded.attached
        try:
            for name in names:
                for program, at_return in programs:
                    self._loaded.attach(name, program, at_return)
        except OSError as error:
            reasons.append(str(error.strerror))
            self._loaded.detach(kept=before)
            return False
        return True


def _constants(variant: Variant) -> dict[str, int]:
    """What a variant's definitions are in C."""
    return {
        "WALK_NODES": WALK_NODES,
        "LOOKUPS": int(variant.lookups),
        "ALL_ICMP": int(variant.all_icmp),
        "SNAPLEN": variant.snaplen,
        "STATES": int(variant.states),
        # A multiple of 8, as the rest of its struct.
        "PACKET_BYTES": max(PACKET_BYTES, -(-variant.snaplen // 8) * 8),
    }
