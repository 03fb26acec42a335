"""What became of each probe, and which failures forbid a trace."""

from __future__ import annotations

from collections.abc import Callable, Set

import pytest

from tracer.errors import StartError
from tracer.events import Event
from tracer.kernel import features, selftest
from tracer.kernel.probes import PROBES, Probe
from tracer.kernel.program import AttachError
from tracer.kernel.provocation import Provocation
from tracer.kernel.selftest import Proof
from tracer.kernel.trial import Trial

SEEN = {probe.name for probe in PROBES if probe.provable} | {"walk"}


class Kernel:
    """Attaches each probe to its first symbol, but those it lacks."""

    def __init__(self, *lacking: str) -> None:
        self._lacking = lacking

    def attach(self, probe: Probe) -> str:
        if probe.name in self._lacking:
            raise AttachError("no such function", "get one")
        return probe.symbols[0]


@pytest.fixture
def prove(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trial]:
    """Makes a trial whose self-test shows what is asked for."""

    def make(*lacking: str, seen: Set[str] = SEEN, untried: Set[str] = frozenset()) -> Trial:
        proof = Proof(Provocation(), seen=set(seen), untried=set(untried))

        def run(poll: Callable[[int], list[Event]], expected: set[str]) -> Proof:
            assert expected == SEEN - set(lacking)
            return proof

        monkeypatch.setattr(selftest, "run", run)
        trial = Trial(Kernel(*lacking), PROBES)
        trial.require()
        return trial

    return make


def nothing(timeout_ms: int) -> list[Event]:
    return []


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "why_silent", lambda: ("nobody knows", "look"))


def test_all_is_well(prove: Callable[..., Trial]) -> None:
    trial = prove()
    trial.prove(nothing)
    outcomes = trial.outcomes()
    assert [outcome.probe for outcome in outcomes] == list(PROBES)
    assert not any(outcome.fault for outcome in outcomes)
    unproven = {o.probe.name for o in outcomes if o.unproven}
    assert unproven == {probe.name for probe in PROBES if not probe.provable}


def test_a_required_probe_that_cannot_be_attached(prove: Callable[..., Trial]) -> None:
    with pytest.raises(StartError, match="probe __icmp_send: no such function: get one"):
        prove("icmp")


def test_an_optional_probe_that_cannot_be_attached(prove: Callable[..., Trial]) -> None:
    trial = prove("autobind")
    trial.prove(nothing)
    (outcome,) = (o for o in trial.outcomes() if o.fault)
    assert (outcome.probe.name, outcome.symbol) == ("autobind", None)
    assert (outcome.fault, outcome.remedy) == ("no such function", "get one")


def test_before_the_self_test_nothing_is_proven(prove: Callable[..., Trial]) -> None:
    assert all(outcome.unproven for outcome in prove().outcomes())


def test_all_probes_silent(prove: Callable[..., Trial]) -> None:
    with pytest.raises(StartError, match="are attached and stay silent: nobody knows: look"):
        prove(seen=set()).prove(nothing)


def test_a_required_probe_silent(prove: Callable[..., Trial]) -> None:
    with pytest.raises(StartError, match="probe udp4_lib_lookup2 is attached and stays silent"):
        prove(seen=SEEN - {"lookup"}).prove(nothing)


def test_an_optional_probe_silent(prove: Callable[..., Trial]) -> None:
    trial = prove(seen=SEEN - {"push"})
    trial.prove(nothing)
    (outcome,) = (o for o in trial.outcomes() if o.fault)
    assert (outcome.symbol, outcome.remedy) == ("icmp_push_reply", "look")


def test_the_walk_that_finds_nothing(prove: Callable[..., Trial]) -> None:
    with pytest.raises(StartError, match="not found in the UDP hash table"):
        prove(seen=SEEN - {"walk"}).prove(nothing)


def test_without_ipv6_its_probes_are_not_at_fault(prove: Callable[..., Trial]) -> None:
    sixes = {name for name in SEEN if name.endswith("6")}
    trial = prove(seen=SEEN - sixes, untried=sixes)
    trial.prove(nothing)
    assert not any(outcome.fault for outcome in trial.outcomes())
    assert {o.unproven for o in trial.outcomes() if o.probe.name in sixes} == {
        "no IPv6 to prove it by"
    }
