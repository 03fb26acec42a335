"""All findings about a machine, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.doctor import software, system
from tracer.doctor.start import Start
from tracer.errors import StartError
from tracer.findings import Finding


@dataclass(frozen=True, slots=True)
class Report:
    """The findings, and what a live trace would end with at its start; None if it would start."""

    findings: tuple[Finding, ...]
    failure: StartError | None


def examine() -> Report:
    """Look at everything; loads real probes, proves them and takes them away again."""
    start = Start()
    return Report(tuple(_findings(start)), start.failure)


def _findings(start: Start) -> Iterator[Finding]:
    yield software.versions()
    yield software.kernel()
    yield from start.findings
    yield from (check() for check in system.CHECKS)
