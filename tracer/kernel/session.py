"""The kernel session: probes attached and proven, then a stream of events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tracer.errors import UdptraceError
from tracer.events import Event, Loss
from tracer.kernel import features, memory, selftest
from tracer.kernel.misses import MissTable
from tracer.kernel.probes import LOOKUPS, PROBES, Probe
from tracer.kernel.program import (
    AttachError,
    Program,
    import_bcc,
    read_definitions,
)
from tracer.kernel.symbols import CallerNames
from tracer.wire import Decoder

# How often the kernel's counters of repeats and losses are read.
COUNTERS_NS = 1_000_000_000


@dataclass
class Phases:
    """How long each step of the start took: (name, seconds), in order."""

    taken: list[tuple[str, float]] = field(default_factory=list)
    _last: float = field(default_factory=time.monotonic)

    def done(self, name: str) -> None:
        """The step ``name`` ends now."""
        now = time.monotonic()
        self.taken.append((name, now - self._last))
        self._last = now


class Session:
    """Attached and proven probes. Raises UdptraceError, one line, when that cannot be had.

    ``lookups=False`` leaves the probe on the receive path out: verdicts then rest on the skb and
    the walk. ``all_icmp`` tells "fragmentation needed" too. Events come from `poll`, in the order
    the kernel sent them.
    """

    def __init__(
        self, lookups: bool = True, phases: Phases | None = None, all_icmp: bool = False
    ) -> None:
        phases = phases or Phases()
        features.check()
        bcc = import_bcc()
        phases.done("import BCC")
        layout = read_definitions()
        phases.done("read BTF")
        self._program = Program(bcc, layout, lookups, all_icmp)
        phases.done("compile")
        self.probes: tuple[str, ...] = ()
        """The kernel functions probed, as the symbols they are on; all proven."""
        self.unproven: tuple[str, ...] = ()
        """Attached, and nothing the self-test may do would make them fire."""
        self.missing: tuple[tuple[str, str], ...] = ()
        self._callers = CallerNames()
        self._decoder = Decoder(self._caller_name)
        self._table = MissTable(self._program)
        self._losses: dict[str, int] = self._program.losses()
        self._counters_due = 0
        self._fates_known = False  # until the self-test has shown it
        try:
            attached = self._attach([p for p in PROBES if lookups or p not in LOOKUPS])
            phases.done("load and attach")
            memory.release()
            self._queued = self._prove(attached)
        except BaseException:
            self._program.close()
            raise
        phases.done("self-test")

    def poll(self, timeout_ms: int) -> list[Event]:
        """The next events, waiting for the first at most ``timeout_ms``.

        Once a second the kernel's counters come with them: repeats (MissCount) and losses (Loss).
        """
        events = self._take_queued() + self._decode(timeout_ms)
        now = time.monotonic_ns()
        if now >= self._counters_due:
            self._counters_due = now + COUNTERS_NS
            events += self.counters(now)
        return events

    def drain(self) -> list[Event]:
        """All that there is by now, then the kernel's counters: what came before is in them."""
        return self._take_queued() + self._decode(0) + self.counters(time.monotonic_ns())

    def counters(self, now: int) -> list[Event]:
        """Repeats and losses counted in the kernel since they were last read."""
        return [*self._table.read(now, self._fates_known), *self._new_losses(now)]

    def keep_only(self, netns: Iterable[int]) -> None:
        """From now on drop, in the kernel, the misses of all other network namespaces (inums)."""
        self._program.keep_only(netns)

    def close(self) -> None:
        """Detach everything. The kernel does the same when the process dies."""
        self._program.close()

    def _take_queued(self) -> list[Event]:
        queued, self._queued = self._queued, []
        return queued

    def _decode(self, timeout_ms: int) -> list[Event]:
        records = self._program.poll(timeout_ms)
        decoded = (self._decoder.decode(record) for record in records)
        return [event for event in decoded if event is not None]

    def _caller_name(self, address: int) -> str | None:
        """Not for the self-test's own misses: the symbol table takes long to read."""
        return self._callers(address) if self.probes else None

    def _new_losses(self, now: int) -> list[Event]:
        counters = self._program.losses()
        grown = {what: total - self._losses[what] for what, total in counters.items()}
        self._losses = counters
        return [Loss(now, what, count) for what, count in grown.items() if count > 0]

    def _attach(self, probes: list[Probe]) -> dict[Probe, str]:
        """Attach each probe; returns those that are, with the symbol they are on."""
        attached = {}
        for probe in probes:
            try:
                attached[probe] = self._program.attach(probe)
            except AttachError as error:
                if probe.required:
                    raise UdptraceError(f"probe {probe.symbols[0]}: {error}") from error
                self._lack(probe, str(error))
        return attached

    def _prove(self, attached: dict[Probe, str]) -> list[Event]:
        """Run the self-test; returns the events that were not its own."""
        provable = [probe for probe in attached if probe.provable]
        proof = selftest.run(self._decode, {probe.name for probe in provable} | {"walk"})
        self._judge_silence([probe for probe in provable if probe.name not in proof.seen], provable)
        if "walk" not in proof.seen:
            raise UdptraceError(
                "the self-test's socket was not found in the UDP hash table: this kernel's layout "
                "is not one udptrace knows; please report it with the kernel's version"
            )
        self._fates_known = {"push", "push6"} <= proof.seen
        self._table.forget(proof.netns)
        self._losses = self._program.losses()
        self.probes = tuple(on for probe, on in attached.items() if probe.name in proof.seen)
        self.unproven = tuple(on for probe, on in attached.items() if not probe.provable)
        return proof.others

    def _judge_silence(self, silent: list[Probe], provable: list[Probe]) -> None:
        """Some probes attached and never fired: fatal when one of them is needed."""
        if len(silent) == len(provable):
            raise UdptraceError(f"the probes are attached and stay silent: {features.why_silent()}")
        for probe in silent:
            if probe.required:
                raise UdptraceError(
                    f"probe {probe.symbols[0]} is attached and stays silent: "
                    f"{features.why_silent()}"
                )
            self._lack(probe, "attached, but silent in the self-test")

    def _lack(self, probe: Probe, reason: str) -> None:
        self.missing += ((probe.symbols[0], f"{reason}; {probe.without}"),)
