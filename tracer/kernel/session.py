"""The kernel session: probes attached and proven, then a stream of events."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tracer.events import Event, Loss
from tracer.kernel import features
from tracer.kernel.definitions import known_definitions
from tracer.kernel.layout import require_states
from tracer.kernel.misses import MissTable
from tracer.kernel.probes import LOOKUPS, PROBES, STATES, Probe
from tracer.kernel.program import BATCH, Program, Variant
from tracer.kernel.selftest import Proof
from tracer.kernel.symbols import CallerNames
from tracer.kernel.trial import Trial
from tracer.wire import Decoder

# How often the kernel's counters of repeats and losses are read.
COUNTERS_NS = 1_000_000_000

# More records than the ring buffer holds: whoever has taken so many has all that was there before.
_BUFFER_RECORDS = 32 * BATCH


@dataclass
class Phases:
    """What the steps of the start took."""

    taken: list[tuple[str, float]] = field(default_factory=list)
    """(name, seconds), in order."""
    compiler_mb: float | None = None
    """Memory, in a process that has ended; None: nothing was compiled."""
    _last: float = field(default_factory=time.monotonic)

    def done(self, name: str) -> None:
        """The step ``name`` ends now."""
        now = time.monotonic()
        self.taken.append((name, now - self._last))
        self._last = now


def _probes(variant: Variant) -> list[Probe]:
    """Those that a variant attaches."""
    probes = [probe for probe in PROBES if variant.lookups or probe not in LOOKUPS]
    return [*probes, *(STATES if variant.states else ())]


class Session:
    """Attached and proven probes. Raises StartError, one line, when that cannot be had.

    Events come from `poll`, in the order the kernel sent them.
    """

    def __init__(self, variant: Variant, phases: Phases | None = None) -> None:
        phases = phases or Phases()
        self.lacking = features.check()
        """What the trace will lack, by what this process may not do."""
        layout = known_definitions()
        if variant.states:
            require_states(layout)
        phases.done("read BTF")
        self._program = Program(layout, variant)
        phases.compiler_mb = self._program.compiler_mb
        phases.done("take the compiled probes" if phases.compiler_mb is None else "compile")
        self.probes: tuple[str, ...] = ()
        """The kernel functions probed, as the symbols they are on; all proven."""
        self.unproven: tuple[str, ...] = ()
        """Attached, and nothing the self-test may do would make them fire."""
        self.missing: tuple[tuple[str, str], ...] = ()
        self._callers = CallerNames()
        self._expected: set[int] = set()
        """Where the self-test's misses were reported from, and others will be."""
        self._decoder = Decoder(self._caller_name)
        self._table = MissTable(self._program)
        self._losses: dict[str, int] = self._program.losses()
        self._counters_due = 0
        self.behind = False
        """Records may be left in the buffer that are older than the latest `poll`."""
        self._queued: list[Event] = []
        self._fates_known = False  # until the self-test has shown it
        try:
            trial = Trial(self._program, _probes(variant))
            trial.require()
            phases.done("load and attach")
            self._begin(trial, trial.prove(self._decode))
        except BaseException:
            self._program.close()
            raise
        phases.done("self-test")

    def poll(self, timeout_ms: int) -> list[Event]:
        """The next events, waiting for the first at most ``timeout_ms``.

        Once a second the kernel's counters come with them: repeats (MissCount) and losses (Loss).
        Their time is not later than that of the events yet to come.
        """
        if timeout_ms and self._expected:
            # The trace has begun, and waits: time to read what the first miss will ask for.
            self._callers.expect(self._expected)
            self._expected = set()
        events = self._take_queued() + self._decode(timeout_ms)
        now = time.monotonic_ns()
        if now >= self._counters_due:
            self._counters_due = now + COUNTERS_NS
            as_of = max((event.time for event in events), default=now) if self.behind else now
            events += self.counters(as_of)
        return events

    def drain(self) -> list[Event]:
        """All that there is by now, then the kernel's counters: what came before is in them."""
        events = self._take_queued() + self._decode(0)
        for _ in range(_BUFFER_RECORDS // BATCH):
            if not self.behind:
                break
            events += self._decode(0)
        return events + self.counters(time.monotonic_ns())

    def counters(self, now: int) -> list[Event]:
        """Repeats and losses counted in the kernel since they were last read."""
        return [*self._table.read(now, self._fates_known), *self._new_losses(now)]

    def keep_only(self, netns: Iterable[int] | None) -> None:
        """From now on drop, in the kernel, the misses of all but these namespaces (inode numbers);
        None: of none."""
        self._program.keep_only(netns)

    def close(self) -> None:
        """Detach everything. The kernel does the same when the process dies."""
        self._program.close()

    def _take_queued(self) -> list[Event]:
        queued, self._queued = self._queued, []
        return queued

    def _decode(self, timeout_ms: int) -> list[Event]:
        records = self._program.poll(timeout_ms)
        self.behind = len(records) >= BATCH
        return self._decoder.decode_all(records)

    def _caller_name(self, address: int) -> str | None:
        """Not for the self-test's own misses: the symbol table takes long to read."""
        if self.probes:
            return self._callers(address)
        self._expected.add(address)
        return None

    def _new_losses(self, now: int) -> list[Event]:
        counters = self._program.losses()
        grown = {what: total - self._losses[what] for what, total in counters.items()}
        self._losses = counters
        return [Loss(now, what, count) for what, count in grown.items() if count > 0]

    def _begin(self, trial: Trial, proof: Proof) -> None:
        """Take over what the trial showed, and leave its own traffic out."""
        self._queued = proof.others
        self._fates_known = {"push", "push6"} <= proof.seen | proof.untried
        self._table.forget(proof.provocation.made)
        self._losses = self._program.losses()
        serving = [(o.symbol, o.unproven) for o in trial.outcomes() if o.symbol and not o.fault]
        self.probes = tuple(symbol for symbol, unproven in serving if not unproven)
        self.unproven = tuple(symbol for symbol, unproven in serving if unproven)
        self.missing = tuple(
            (o.probe.symbols[0], f"{o.fault}; {o.probe.without}")
            for o in trial.outcomes()
            if o.fault
        )
