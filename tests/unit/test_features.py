"""What a machine allows, from the files in which it says so; each beside its lookalike."""

from __future__ import annotations

import errno
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracer.errors import StartError
from tracer.kernel import features
from tracer.system import initial, own_status

ALL = (1 << 41) - 1


@dataclass
class Machine:
    """The files a machine tells its state by; a healthy one at first."""

    directory: Path

    def put(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def remove(self, name: str) -> None:
        (self.directory / name).unlink()

    def hold(self, capabilities: int) -> None:
        self.put("status", f"Name:\tx\nCapEff:\t{capabilities:016x}\nCapBnd:\t{ALL:016x}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    files = {
        "LOCKDOWN": "[none] integrity confidentiality\n",
        "FTRACE_ENABLED": "1\n",
        "KPROBES_ENABLED": "1\n",
        "KPROBE_PMU": "",
        "PARANOID": "2\n",
        "SYSFS": "",
    }
    made = Machine(tmp_path)
    for name, text in files.items():
        made.put(name.lower(), text)
        monkeypatch.setattr(features, name, tmp_path / name.lower())
    monkeypatch.setattr(own_status, "STATUS", tmp_path / "status")
    monkeypatch.setattr(initial, "NAMESPACES", tmp_path / "ns")
    monkeypatch.setattr(features, "why_unattached", lambda: None)
    made.hold(ALL)
    be(monkeypatch, "Linux", "x86_64")
    return made


def be(monkeypatch: pytest.MonkeyPatch, system: str, processor: str) -> None:
    """Have the machine call itself that."""
    names = os.uname_result((system, "host", "6.12", "#1", processor))
    monkeypatch.setattr(os, "uname", lambda: names)


def test_a_healthy_machine(machine: Machine) -> None:
    features.check()
    assert {finding.status for finding in features.preconditions()} == {"ok"}


def test_another_architecture(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "Linux", "aarch64")
    with pytest.raises(StartError, match="this is aarch64 Linux: a recording can still be"):
        features.check()


def test_another_system(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, "Darwin", "x86_64")
    assert features.architecture().status == "broken"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ((127, math.inf), "ulimit -n 1024"),
        ((128, math.inf), None),
        ((1024, 499e6), "ulimit -v unlimited"),
        ((1024, 500e6), None),
        ((math.inf, math.inf), None),
    ],
)
def test_limits_of_a_process(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[float, float],
    said: str | None,
) -> None:
    monkeypatch.setattr(features, "soft_limits", lambda: limits)
    found = features.limits()
    assert found.remedy == (said or "")
    assert (found.status == "broken") == (said is not None)


@pytest.mark.parametrize(("own", "status"), [(False, "ok"), (True, "degraded")])
def test_a_pid_namespace(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, own: bool, status: str
) -> None:
    monkeypatch.setattr(features, "is_initial", lambda kind: not own)
    found = features.pid_namespace()
    assert found.status == status
    assert ("--pid=host" in found.remedy) is own
    # It forbids nothing, and whoever starts a trace is told.
    assert [finding.name for finding in features.check()] == ["processes"] * own


@pytest.mark.parametrize(
    ("level", "seccomp", "number", "words", "remedy"),
    [
        ("3", 0, errno.EACCES, "perf_event_paranoid is 3", "sysctl kernel.perf_event_paranoid=2"),
        ("2", 2, errno.EPERM, "a seccomp filter", "--security-opt seccomp=unconfined"),
        ("2", 0, errno.EPERM, "perf_event_open() is refused", "dmesg"),
    ],
)
def test_perf_is_refused(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    seccomp: int,
    number: int,
    words: str,
    remedy: str,
) -> None:
    machine.put("paranoid", level)
    machine.put("status", f"CapEff:\t{ALL:016x}\nSeccomp:\t{seccomp}\n")
    found = features.perf_refusal(number)
    assert found is not None
    assert words in found[0]
    assert remedy in found[1]
    monkeypatch.setattr(features, "why_unattached", lambda: found)
    with pytest.raises(StartError, match=re.escape(found[1])):
        features.check()


def test_a_perf_that_fails_otherwise_is_not_refused(machine: Machine) -> None:
    assert features.perf_refusal(errno.ENODEV) is None


def test_no_sysfs(machine: Machine) -> None:
    machine.remove("sysfs")
    machine.remove("kprobe_pmu")
    assert "/sys is not mounted" in features.kprobes().detail


def test_no_kprobes(machine: Machine) -> None:
    machine.remove("kprobe_pmu")
    found = features.kprobes()
    assert found.status == "broken"
    assert "CONFIG_KPROBE_EVENTS=y" in found.remedy


def test_kprobes_switched_off(machine: Machine) -> None:
    machine.put("kprobes_enabled", "0\n")
    found = features.kprobes()
    assert (found.status, found.remedy) == ("broken", f"echo 1 > {features.KPROBES_ENABLED}")


def test_kprobes_whose_switch_cannot_be_read(machine: Machine) -> None:
    machine.remove("kprobes_enabled")
    assert features.kprobes().status == "ok"


@pytest.mark.parametrize(
    ("text", "works", "status", "detail"),
    [
        ("[none] integrity confidentiality\n", True, "ok", "none; the probes may read"),
        ("none [integrity] confidentiality\n", True, "ok", "integrity; the probes may read"),
        ("none [integrity] confidentiality\n", False, "ok", "integrity: probes may read"),
        ("none integrity [confidentiality]\n", False, "broken", "locked down (confidentiality)"),
        # Should a kernel allow it: what works is not called broken.
        ("none integrity [confidentiality]\n", True, "ok", "confidentiality; the probes may read"),
        ("", True, "ok", "is not there; the probes may read"),
        ("", False, None, "not known: "),
    ],
)
def test_lockdown(
    machine: Machine, text: str, works: bool, status: str | None, detail: str
) -> None:
    machine.put("lockdown", text)
    found = features.lockdown(works)
    assert found.status == status
    assert detail in found.detail
    assert ("lockdown=integrity" in found.remedy) is (status == "broken")


@pytest.mark.parametrize(
    ("value", "works", "status"),
    [("1", True, "ok"), ("1", False, "ok"), ("0", False, "broken"), ("0", True, "ok")],
)
def test_ftrace(machine: Machine, value: str, works: bool, status: str) -> None:
    machine.put("ftrace_enabled", value)
    found = features.ftrace(works)
    assert found.status == status
    assert (found.remedy == "sysctl kernel.ftrace_enabled=1") is (status == "broken")


def test_no_ftrace_at_all(machine: Machine) -> None:
    machine.remove("ftrace_enabled")
    assert features.ftrace(False).status == "ok"


def test_why_probes_are_silent(machine: Machine) -> None:
    assert "kprobes/list" in features.why_silent()[1]
    machine.put("ftrace_enabled", "0\n")
    assert features.why_silent()[1] == "sysctl kernel.ftrace_enabled=1"


def test_why_a_program_is_refused(machine: Machine) -> None:
    assert "verifier" in features.why_refused()[0]
    machine.put("lockdown", "none integrity [confidentiality]\n")
    assert "confidentiality" in features.why_refused()[0]


@pytest.mark.parametrize(
    ("limit", "held", "short"),
    [
        (features.NO_LIMIT, 0, False),
        (65536, ALL, False),
        (65536, ALL & ~(1 << 24), True),
    ],
)
def test_the_limit_to_locked_memory(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, limit: int, held: int, short: bool
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda what: (limit, limit))
    machine.hold(held)
    assert features.memlock_is_short() is short
