"""`udptrace doctor` on invented machines: it goes on past a failure, and says what follows."""

from __future__ import annotations

import errno
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.test_golden import GOLDEN, compare
from tracer.doctor import kernel, software, start, system
from tracer.doctor.report import Report, examine
from tracer.errors import StartError
from tracer.findings import Finding, broken, degraded, ok
from tracer.kernel import features, selftest
from tracer.kernel.probes import PROBES, STATES, Probe
from tracer.kernel.program import AttachError, Variant
from tracer.kernel.provocation import Provocation
from tracer.kernel.selftest import Proof
from tracer.render import findings as rendering

# For the golden files, which are not to change with the table.
FEW = (
    Probe("icmp", ("__icmp_send",), "icmp_enter", required=True),
    Probe("lookup6", ("udp6_lib_lookup2",), "e", without="IPv6 lookups are not known"),
    Probe("push", ("icmp_push_reply",), "e", without="whether an ICMP left is not known"),
    Probe("error", ("sk_error_report", "sock_def_error_report"), "e", "x"),
    Probe("limit", ("icmp_global_allow",), None, "x", provable=False),
)

EVERY = (*PROBES, *STATES)

SEEN = {probe.name for probe in EVERY if probe.provable} | {"walk"}


REFCNT = {"OFF_SKC_NET_REFCNT": 24}
"""What the probes of `states` read, and no others."""


@dataclass
class Machine:
    """All that a start depends on; a healthy one of Linux 6.12 at first."""

    preconditions: list[Finding] = field(
        default_factory=lambda: [ok("capabilities", "all"), ok("kprobes", "perf can make them")]
    )
    bcc: StartError | None = None
    btf: StartError | None = None
    layout: dict[str, int] = field(
        default_factory=lambda: {"OFF_NET_COOKIE": 8, "OFF_NET_UDP_TABLE": 16, **REFCNT}
    )
    cookie: int = 1
    compiler: StartError | None = None
    compiler_of_states: StartError | None = None
    lacking: tuple[str, ...] = ()
    symbols: dict[str, str] = field(default_factory=dict)
    self_test: StartError | None = None
    seen: set[str] = field(default_factory=lambda: set(SEEN))
    charges_memlock: bool = False
    ftrace: Callable[[bool], Finding] = lambda works: ok("ftrace", "switched on")
    compiler_mb: float | None = 119.0
    variants: list[Variant] = field(default_factory=list)
    """The programs that were asked for."""
    casts: bool = False
    closed: int = 0
    iterator: StartError | OSError | None = None
    listed: bytes = b""

    def import_bcc(self) -> Any:
        if self.bcc:
            raise self.bcc
        return types.SimpleNamespace(__version__="0.31.0", __file__="/usr/lib/bcc/__init__.py")

    def read_definitions(self) -> dict[str, int]:
        if self.btf:
            raise self.btf
        return self.layout

    def program(self, layout: dict[str, int], variant: Variant) -> Machine:
        assert layout == self.layout
        self.variants.append(variant)
        if self.compiler or (variant.states and self.compiler_of_states):
            raise self.compiler or self.compiler_of_states or AssertionError
        return self

    def socket_iterator(self) -> Machine:
        if isinstance(self.iterator, StartError):
            raise self.iterator
        return self

    def read(self) -> bytes:
        if self.iterator:
            raise self.iterator
        return self.listed

    def attach(self, probe: Probe) -> str:
        if probe.name in self.lacking:
            raise AttachError("no kernel function of this name", features.REPORT_IT)
        return self.symbols.get(probe.name, probe.symbols[0])

    def close(self) -> None:
        self.closed += 1

    def run(self, poll: Callable[[int], list[Any]], expected: set[str]) -> Proof:
        if self.self_test:
            raise self.self_test
        return Proof(Provocation(), seen=self.seen)


class Btf:
    def close(self) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(features, "preconditions", lambda: iter(made.preconditions))
    monkeypatch.setattr(features, "ftrace", lambda works: made.ftrace(works))
    monkeypatch.setattr(features, "lockdown", lambda works: ok("lockdown", "none"))
    monkeypatch.setattr(features, "why_silent", lambda: ("nobody knows why", "look for it"))
    monkeypatch.setattr(features, "memlock_limit", lambda: 8 << 20)
    monkeypatch.setattr(start, "import_bcc", made.import_bcc)
    monkeypatch.setattr(start, "read_definitions", made.read_definitions)
    monkeypatch.setattr(start, "Program", made.program)
    monkeypatch.setattr(start, "SocketIterator", made.socket_iterator)
    monkeypatch.setattr(selftest, "run", made.run)
    monkeypatch.setattr(kernel, "netns_cookie", lambda: made.cookie)
    monkeypatch.setattr(kernel, "libbpf_version", lambda: "1.5")
    monkeypatch.setattr(kernel, "Btf", Btf)
    monkeypatch.setattr(kernel, "charges_memlock", lambda btf: made.charges_memlock)
    monkeypatch.setattr(software, "versions", lambda: ok("udptrace", "0.1.0, Python 3.13.5"))
    monkeypatch.setattr(software, "kernel", lambda: ok("kernel", "Linux 6.12.117"))
    clock = ok("clock", "2026-11-22 12:00:00 UTC, synchronised", synchronised=True)
    monkeypatch.setattr(system, "CHECKS", (lambda: clock,))
    return made


def named(report: Report, name: str) -> Finding:
    """The finding of a name."""
    (found,) = (finding for finding in report.findings if finding.name == name)
    return found


def statuses(report: Report) -> dict[str, str | None]:
    return {finding.name: finding.status for finding in report.findings}


def test_a_healthy_machine_has_nothing_but_ok(machine: Machine) -> None:
    report = examine()
    assert report.failure is None
    assert set(statuses(report).values()) == {"ok"}
    assert {probe.symbols[0] for probe in EVERY} <= statuses(report).keys()
    assert named(report, "icmp_global_allow").facts["proven"] is False
    assert machine.closed == 2  # the probes and the iterator
    assert "0 UDP sockets in this network namespace" in named(report, "socket iterator").detail
    assert "for `states`" in named(report, "udp_init_sock").detail


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (StartError("the socket iterator cannot be loaded", "report it"), "cannot be loaded"),
        (OSError(errno.EPERM, "Operation not permitted"), "Operation not permitted"),
        (None, "no whole records"),
    ],
)
def test_without_the_iterator_sockets_lacks_something(
    machine: Machine, failure: StartError | OSError | None, why: str
) -> None:
    machine.iterator, machine.listed = failure, b"x"
    report = examine()
    assert report.failure is None
    found = named(report, "socket iterator")
    assert (found.status, bool(found.remedy)) == ("degraded", True)
    assert why in found.detail
    assert found.lost.startswith("of `udptrace sockets`")
    assert [f.name for f in report.findings if f.status != "ok"] == ["socket iterator"]


def test_the_iterator_is_tried_where_there_are_no_kprobes(machine: Machine) -> None:
    machine.preconditions.append(broken("kprobes", "it is missing", "get it"))
    assert named(examine(), "socket iterator").status == "ok"


def test_what_states_alone_reads_is_lost_to_states_alone(machine: Machine) -> None:
    machine.layout = {name: at for name, at in machine.layout.items() if name not in REFCNT}
    report = examine()
    assert report.failure is None
    amiss = {f.name: f for f in report.findings if f.status != "ok"}
    assert amiss.keys() == {probe.symbols[0] for probe in STATES}
    for found in amiss.values():
        assert "struct sock_common has no skc_net_refcnt" in found.detail
        assert found.lost.startswith("of `udptrace states`: ")


def test_an_old_kernel(machine: Machine) -> None:
    machine.layout = dict(REFCNT)
    machine.cookie = 0
    machine.charges_memlock = True
    machine.symbols = {
        "lookup": "udp4_lib_lookup2.isra.0",
        "error": "sock_def_error_report",
    }
    report = examine()
    assert report.failure is None
    assert [f.name for f in report.findings if f.status != "ok"] == ["netns cookies"]
    assert named(report, "memlock").detail == "8192 KiB, which suffices or may be raised"
    lookup = named(report, "udp4_lib_lookup2")
    assert lookup.detail == "kprobe on udp4_lib_lookup2.isra.0, proven"
    assert lookup.facts["symbol"] == "udp4_lib_lookup2.isra.0"
    assert "found through a socket" in named(report, "UDP hash table").detail


def test_cookies_that_sockets_do_not_tell_are_none(machine: Machine) -> None:
    """Linux 5.12 and 5.13: in the struct, and not to be asked for."""
    machine.cookie = 0
    assert named(examine(), "netns cookies").status == "degraded"


@pytest.mark.parametrize(
    ("name", "why"), [("capabilities", "capabilities are missing"), ("kprobes", "no kprobes")]
)
def test_a_precondition_is_missing(machine: Machine, name: str, why: str) -> None:
    machine.preconditions.append(broken(name, "it is missing", "get it"))
    report = examine()
    assert str(report.failure) == "it is missing: get it"
    untried = [f for f in report.findings if f.status is None and f.name != "socket iterator"]
    assert len(untried) == len(EVERY) + 3
    assert {finding.detail for finding in untried} == {f"not tried: {why}"}
    # What can be said without it is said.
    assert named(report, "BCC").status == named(report, "BTF").status == "ok"


def test_the_first_of_several_failures_is_what_a_trace_ends_with(machine: Machine) -> None:
    machine.preconditions = [broken("kprobes", "no kprobes here", "get them")]
    machine.bcc = StartError("no BCC here", "install it")
    machine.btf = StartError("no BTF here", "boot another kernel")
    report = examine()
    assert str(report.failure) == "no kprobes here: get them"
    wrong = {f.name: f.remedy for f in report.findings if f.status == "broken"}
    assert wrong == {"kprobes": "get them", "BCC": "install it", "BTF": "boot another kernel"}
    assert "netns cookies" not in statuses(report)


def test_no_btf(machine: Machine) -> None:
    machine.btf = StartError("no BTF here", "boot another kernel")
    report = examine()
    assert str(report.failure) == "no BTF here: boot another kernel"
    assert named(report, "__icmp_send").detail == "not tried: no usable BTF"


def test_a_program_that_does_not_compile(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.compiler = StartError("the probes cannot be compiled", features.RAISE_MEMLOCK)
    machine.charges_memlock = True
    monkeypatch.setattr(features, "memlock_is_short", lambda: True)
    report = examine()
    assert named(report, "BPF program").status == named(report, "memlock").status == "broken"
    assert named(report, "self-test").detail == "not tried: no BPF program"
    assert "ulimit -l unlimited" in str(report.failure)


def test_a_required_probe_cannot_be_attached(machine: Machine) -> None:
    machine.lacking = ("icmp", "autobind")
    report = examine()
    assert "probe __icmp_send: no kernel function of this name" in str(report.failure)
    assert named(report, "__icmp_send").status == "broken"
    assert named(report, "inet_autobind").status == "degraded"
    assert named(report, "inet_autobind").lost == "the kernel's choices of port are not recorded"
    assert named(report, "self-test").status is None
    assert named(report, "inet_bind").detail == (
        "kprobe and kretprobe, attached; the self-test did not run"
    )
    assert machine.closed == 3  # without those of `states`, too


def test_what_is_wrong_with_states_alone_is_said_of_states(machine: Machine) -> None:
    """A trace of `live` has another program, and starts."""
    machine.compiler_of_states = StartError("the probes cannot be compiled", "report it")
    report = examine()
    assert report.failure is None
    assert [variant.states for variant in machine.variants] == [True, False]
    assert {named(report, probe.symbols[0]).status for probe in PROBES} == {"ok"}
    for probe in STATES:
        finding = named(report, probe.symbols[0])
        assert finding.status == "degraded"
        assert finding.lost.startswith("of `udptrace states`: ")
        assert (finding.detail, finding.remedy) == ("the probes cannot be compiled", "report it")


def test_what_is_wrong_with_both_is_told_once(machine: Machine) -> None:
    machine.compiler = StartError("the probes cannot be compiled", "report it")
    report = examine()
    assert [variant.states for variant in machine.variants] == [True, False]
    assert [f.name for f in report.findings].count("BPF program") == 1
    assert str(report.failure) == "the probes cannot be compiled: report it"


def test_an_optional_probe_cannot_be_attached(machine: Machine) -> None:
    machine.lacking = ("push",)
    report = examine()
    assert report.failure is None
    assert [f.name for f in report.findings if f.status != "ok"] == ["icmp_push_reply"]


def test_all_probes_are_silent(machine: Machine) -> None:
    machine.seen = set()
    machine.ftrace = lambda works: (
        ok("ftrace", "x") if works else broken("ftrace", "it is off", "sysctl")
    )
    report = examine()
    assert str(report.failure) == (
        "the probes are attached and stay silent: nobody knows why: look for it"
    )
    assert named(report, "self-test").status == "broken"
    assert named(report, "ftrace").status == "broken"
    assert named(report, "__icmp_send").status == "broken"
    assert named(report, "udp_err").status == "degraded"
    assert named(report, "ring buffer").status is None
    assert machine.closed == 3


def test_the_self_test_cannot_run(machine: Machine) -> None:
    machine.self_test = StartError("no private network namespace", "allow one")
    report = examine()
    assert str(report.failure) == "no private network namespace: allow one"
    assert named(report, "self-test").remedy == "allow one"
    assert named(report, "__icmp_send").detail == "kprobe, attached; the self-test did not run"


# How it is told

HOSTILE = degraded("a\x1b[31mb", "two\nlines\x07", "\u202elost", "rm\r -rf", path="\x1b")


@pytest.fixture(params=["doctor-well", "doctor-wrong"])
def golden(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[str, Report]:
    """A golden file's name, and its report: nothing wrong, and something of everything."""
    monkeypatch.setattr(start, "PROBES", FEW)
    monkeypatch.setattr(start, "STATES", STATES[:1])
    machine.symbols = {"error": "sock_def_error_report"}
    if request.param == "doctor-wrong":
        make_wrong(machine)
    return request.param, examine()


def make_wrong(machine: Machine) -> None:
    machine.lacking = ("push", "created")
    machine.seen = SEEN - {"lookup6", "push", "icmp", "created"}
    machine.iterator = StartError("the socket iterator cannot be loaded", features.REPORT_IT)
    machine.ftrace = lambda works: broken(
        "ftrace", "kernel.ftrace_enabled is 0", "sysctl kernel.ftrace_enabled=1"
    )
    machine.preconditions.append(HOSTILE)


def test_golden_text(golden: tuple[str, Report]) -> None:
    name, report = golden
    text = rendering.text(report.findings, report.failure, color=False)
    compare(GOLDEN / f"{name}.txt", text)
    assert max(map(len, text.splitlines())) <= 80


def test_golden_json(golden: tuple[str, Report]) -> None:
    name, report = golden
    compare(GOLDEN / f"{name}.jsonl", rendering.jsonl(report.findings, report.failure))


def test_nothing_from_outside_reaches_a_terminal_unescaped(machine: Machine) -> None:
    make_wrong(machine)
    report = examine()
    text = rendering.text(report.findings, report.failure, color=False)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert rendering.jsonl(report.findings, report.failure).isascii()


def test_colour_is_on_the_status_alone(machine: Machine) -> None:
    make_wrong(machine)
    report = examine()
    plain = rendering.text(report.findings, report.failure, color=False)
    colored = rendering.text(report.findings, report.failure, color=True)
    for code in ("\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"):
        assert code in colored
        colored = colored.replace(code, "")
    assert colored == plain
