"""A live trace's start, step by step, going on past a failure where the next step makes sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import TypeVar

from tracer.doctor import kernel
from tracer.errors import StartError
from tracer.findings import Finding, failed, unknown
from tracer.kernel import features
from tracer.kernel.compiler import import_bcc
from tracer.kernel.definitions import read_definitions
from tracer.kernel.iterator import SocketIterator
from tracer.kernel.layout import require_states
from tracer.kernel.probes import PROBES, STATES
from tracer.kernel.program import Program, Variant
from tracer.kernel.selftest import Proof
from tracer.kernel.trial import Outcome, Trial
from tracer.wire import Decoder

T = TypeVar("T")

# Why what comes after a broken step was not tried.
_FOR_WANT = {
    "architecture": "not x86-64 Linux",
    "capabilities": "capabilities are missing",
    "kprobes": "no kprobes",
    "BCC": "no BCC",
    "BTF": "no usable BTF",
    "BPF program": "no BPF program",
}

_ITERATOR_WANTS = ("architecture", "capabilities", "BCC", "BTF")
"""The steps without which there is no socket iterator either."""


class Start:
    """The attempt, made at once; nothing of it is left attached.

    ``findings`` are in the order in which they are to be told. ``failure`` is what a live trace
    would end with here.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.failure: StartError | None = None
        self._obstacle = ""
        self._take_all(features.preconditions())
        self._step("BCC", import_bcc, kernel.bcc)
        layout = self._step("BTF", read_definitions, kernel.btf)
        if layout is not None:
            self._take_all((kernel.netns_cookies(layout), kernel.udp_table(layout)))
        self._load(layout or {})
        self._take(self._iterator())
        works = self.failure is None
        self._take_all((features.ftrace(works), features.lockdown(works)))

    def _load(self, layout: dict[str, int]) -> None:
        """Compile, attach and prove; or say what is in the way of that."""
        if self._obstacle:
            self._take(unknown("BPF program", self._not_tried))
            self._take_untried()
            return
        limit, found, failure = features.memlock_limit(), len(self.findings), self.failure
        # With the probes of `states`, so that one program tries them all.
        lacking = _lacks_for_states(layout)
        self._load_variant(layout, lacking, limit)
        if lacking is not None or self.failure is failure:
            return
        # Is that of `states` alone? A plain trace has a program without them.
        whole = self.findings, self.failure, self._obstacle
        self.findings, self.failure, self._obstacle = self.findings[:found], failure, ""
        self._load_variant(layout, whole[1], limit)
        if self.failure is not failure:
            self.findings, self.failure, self._obstacle = whole

    def _load_variant(self, layout: dict[str, int], lacking: StartError | None, limit: int) -> None:
        """``lacking``: why the probes of `states` are left out; ``limit``: of locked memory."""
        variant = Variant(states=lacking is None)
        program = self._step("BPF program", lambda: Program(layout, variant), kernel.program)
        self._take_all(kernel.memlock(limit, loaded=program is not None))
        if program is None:
            self._take_untried()
            return
        self._take(kernel.struct_access(program))
        with closing(program):
            self._try(program, lacking)

    def _take_untried(self) -> None:
        """What needs a program, and there is none."""
        self._take(unknown("self-test", self._not_tried))
        every = (*PROBES, *STATES)
        self._take_all(kernel.untried_probe(probe, self._not_tried) for probe in every)
        self._take(unknown("ring buffer", self._not_tried))

    def _try(self, program: Program, lacking: StartError | None) -> None:
        """Attach every probe; prove them, if none is missing that the self-test needs.

        ``lacking``: why those of `states` are left out.
        """
        trial = Trial(program, (*PROBES, *(() if lacking else STATES)))
        try:
            trial.require()
        except StartError as error:
            self.failure = error
            self._take(unknown("self-test", "not tried: a probe it needs is not attached"))
        else:
            self._step("self-test", lambda: self._prove(trial, program), kernel.self_test)
        self._take_all(map(kernel.probe, trial.outcomes()))
        if lacking:
            faults = [Outcome(p, fault=lacking.what, remedy=lacking.remedy) for p in STATES]
            self._take_all(map(kernel.probe, faults))
        self._take(kernel.ring_buffer(trial.proof))

    def _iterator(self) -> Finding:
        """Load the socket iterator and read it here. No trace needs it."""
        if self._obstacle in [_FOR_WANT[step] for step in _ITERATOR_WANTS]:
            return unknown(kernel.ITERATOR, self._not_tried)
        try:
            with closing(SocketIterator()) as iterator:
                return kernel.socket_iterator(iterator.read())
        except StartError as error:
            return kernel.no_socket_iterator(error.what, error.remedy)
        except OSError as error:
            return kernel.no_socket_iterator(error.strerror or str(error), features.REPORT_IT)

    def _prove(self, trial: Trial, program: Program) -> Proof:
        decoder = Decoder(lambda address: None)
        return trial.prove(lambda timeout_ms: decoder.decode_all(program.poll(timeout_ms)))

    @property
    def _not_tried(self) -> str:
        return f"not tried: {self._obstacle}"

    def _step(self, name: str, function: Callable[[], T], told: Callable[[T], Finding]) -> T | None:
        """The step's result, being told of; None when it failed."""
        try:
            result = function()
        except StartError as error:
            self._take(failed(name, error))
            return None
        self._take(told(result))
        return result

    def _take_all(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._take(finding)

    def _take(self, finding: Finding) -> None:
        self.findings.append(finding)
        if finding.status == "broken":
            self._obstacle = self._obstacle or _FOR_WANT.get(finding.name, "")
            self.failure = self.failure or StartError(finding.detail, finding.remedy)


def _lacks_for_states(layout: dict[str, int]) -> StartError | None:
    """Why this kernel's types are not enough for the probes of `states`; None if they are."""
    try:
        require_states(layout)
    except StartError as error:
        return error
    return None
