"""The probes of a loaded program, attached and then proven: what became of each.

A live trace ends at the first that it cannot do without; `udptrace doctor` tells of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from tracer.errors import StartError
from tracer.events import Event
from tracer.kernel import features, selftest
from tracer.kernel.probes import Probe
from tracer.kernel.program import AttachError

_SILENT = "attached, but silent in the self-test"


class Attacher(Protocol):
    """What this module needs of the BPF program (tracer.kernel.program)."""

    def attach(self, probe: Probe) -> str:
        """Load and attach; returns the symbol. Raises AttachError."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a probe; ``fault`` is why it serves nothing, empty when it serves."""

    probe: Probe
    symbol: str | None = None
    """The one it is attached to."""
    proven: bool = False
    fault: str = ""
    remedy: str = ""


class Trial:
    """Attaches each probe, and keeps why one could not be."""

    def __init__(self, program: Attacher, probes: Iterable[Probe]) -> None:
        self.proof: selftest.Proof | None = None
        self._results = {probe: _attach(program, probe) for probe in probes}
        """In the order of the table: the symbol, or why there is none."""

    def prove(self, poll: Callable[[int], list[Event]]) -> None:
        """Run the self-test; ``poll(timeout_ms)`` returns the next events. Raises StartError."""
        self.proof = selftest.run(poll, {probe.name for probe in self._provable} | {"walk"})

    def outcomes(self) -> list[Outcome]:
        """What became of each probe, in their order."""
        return [self._outcome(probe, result) for probe, result in self._results.items()]

    def failure(self) -> StartError | None:
        """Why no trace can be had with what is known so far; None when one can."""
        for probe, result in self._results.items():
            if probe.required and isinstance(result, AttachError):
                return StartError(f"probe {probe.symbols[0]}: {result}", result.remedy)
        return None if self.proof is None else self._unproven(self.proof)

    @property
    def _provable(self) -> list[Probe]:
        return [p for p, result in self._results.items() if p.provable and isinstance(result, str)]

    def _outcome(self, probe: Probe, result: str | AttachError) -> Outcome:
        if isinstance(result, AttachError):
            return Outcome(probe, fault=str(result), remedy=result.remedy)
        if self.proof is None or not probe.provable:
            return Outcome(probe, result)
        if probe.name in self.proof.seen:
            return Outcome(probe, result, proven=True)
        return Outcome(probe, result, fault=_SILENT, remedy=features.why_silent()[1])

    def _unproven(self, proof: selftest.Proof) -> StartError | None:
        """Some probes attached and never fired: fatal when one of them is needed."""
        silent = [probe for probe in self._provable if probe.name not in proof.seen]
        why, remedy = features.why_silent()
        if len(silent) == len(self._provable):
            return StartError(f"the probes are attached and stay silent: {why}", remedy)
        for probe in silent:
            if probe.required:
                what = f"probe {probe.symbols[0]} is attached and stays silent"
                return StartError(f"{what}: {why}", remedy)
        if "walk" not in proof.seen:
            return StartError(
                "the self-test's socket was not found in the UDP hash table: this kernel's layout "
                "is not one udptrace knows",
                features.REPORT_IT,
            )
        return None


def _attach(program: Attacher, probe: Probe) -> str | AttachError:
    try:
        return program.attach(probe)
    except AttachError as error:
        return error
