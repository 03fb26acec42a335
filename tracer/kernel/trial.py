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
    unproven: str = ""
    """Why the self-test cannot make it fire, though it is attached; empty when it did."""
    fault: str = ""
    remedy: str = ""


class Trial:
    """Attaches each probe, and keeps why one could not be."""

    def __init__(self, program: Attacher, probes: Iterable[Probe]) -> None:
        self.proof: selftest.Proof | None = None
        """What the self-test showed, once it was run."""
        self._results = {probe: _attach(program, probe) for probe in probes}
        """In the order of the table: the symbol, or why there is none."""

    def require(self) -> None:
        """Raise StartError when a probe that no trace can do without is not attached."""
        for probe, result in self._results.items():
            if probe.required and isinstance(result, AttachError):
                raise StartError(f"probe {probe.symbols[0]}: {result}", result.remedy)

    def prove(self, poll: Callable[[int], list[Event]]) -> selftest.Proof:
        """Run the self-test; ``poll(timeout_ms)`` returns the next events.

        Raises StartError when it cannot be run, or when a probe it needs stays silent.
        """
        provable = [p for p, result in self._results.items() if _is_provable(p, result)]
        proof = selftest.run(poll, {probe.name for probe in provable} | {"walk"})
        self.proof = proof
        _demand(provable, proof)
        return proof

    def outcomes(self) -> list[Outcome]:
        """What became of each probe, in their order."""
        return [self._outcome(probe, result) for probe, result in self._results.items()]

    def _outcome(self, probe: Probe, result: str | AttachError) -> Outcome:
        if isinstance(result, AttachError):
            return Outcome(probe, fault=str(result), remedy=result.remedy)
        if not probe.provable:
            return Outcome(probe, result, "no self-test for it")
        if self.proof is None:
            return Outcome(probe, result, "the self-test did not run")
        if probe.name in self.proof.seen:
            return Outcome(probe, result)
        if probe.name in self.proof.untried:
            return Outcome(probe, result, "no IPv6 to prove it by")
        return Outcome(probe, result, fault=_SILENT, remedy=features.why_silent()[1])


def _demand(provable: list[Probe], proof: selftest.Proof) -> None:
    """Raise StartError when what stayed silent is needed."""
    silent = [p for p in provable if p.name not in proof.seen | proof.untried]
    why, remedy = features.why_silent()
    if not proof.seen:
        raise StartError(f"the probes are attached and stay silent: {why}", remedy)
    for probe in silent:
        if probe.required:
            what = f"probe {probe.symbols[0]} is attached and stays silent"
            raise StartError(f"{what}: {why}", remedy)
    if "walk" not in proof.seen:
        raise StartError(
            "the self-test's socket was not found in the UDP hash table: this kernel's layout "
            "is not one udptrace knows",
            features.REPORT_IT,
        )


def _is_provable(probe: Probe, result: str | AttachError) -> bool:
    return probe.provable and isinstance(result, str)


def _attach(program: Attacher, probe: Probe) -> str | AttachError:
    try:
        return program.attach(probe)
    except AttachError as error:
        return error
