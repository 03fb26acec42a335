"""What a machine allows, from the files in which it says so; each beside its lookalike."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracer.errors import StartError
from tracer.kernel import features

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
        "STATUS": "",
    }
    made = Machine(tmp_path)
    for name, text in files.items():
        made.put(name.lower(), text)
        monkeypatch.setattr(features, name, tmp_path / name.lower())
    made.hold(ALL)
    monkeypatch.setattr(features, "NAMESPACES", tmp_path / "ns")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    return made


def namespace(machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str, initial: bool) -> None:
    """This process's namespace of a kind is the machine's own, or another."""
    directory = machine.directory / "ns"
    directory.mkdir()
    machine.put(f"ns/{kind}", "")
    inode = (directory / kind).stat().st_ino
    monkeypatch.setattr(features, f"_INIT_{kind.upper()}", inode if initial else inode + 1)


def test_a_healthy_machine(machine: Machine) -> None:
    features.check()
    assert {finding.status for finding in features.preconditions()} == {"ok"}


def test_another_architecture(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(StartError, match="this is aarch64 Linux: a recording can still be"):
        features.check()


def test_another_system(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert features.architecture().status == "broken"


@pytest.mark.parametrize("capability", [c for c in features.CAPABILITIES if c.required])
def test_a_capability_that_is_needed(machine: Machine, capability: features.Capability) -> None:
    machine.hold(ALL & ~(1 << capability.bit))
    found = features.capabilities()
    assert found.status == "broken"
    assert found.detail == f"loading probes needs root (missing here: {capability.name})"
    assert found.remedy == "sudo udptrace"
    assert found.facts["missing"] == [capability.name]
    with pytest.raises(StartError, match=f"{capability.name}\\): sudo udptrace"):
        features.check()


@pytest.mark.parametrize(("kept", "status"), [(1 << 1, "ok"), (1 << 2, "ok"), (0, "degraded")])
def test_one_of_two_capabilities_reads_other_users_processes(
    machine: Machine, kept: int, status: str
) -> None:
    machine.hold(ALL & ~0b110 | kept)
    found = features.capabilities()
    assert found.status == status
    assert ("other users" in found.lost) is (status == "degraded")
    features.check()


def test_no_capability_at_all(machine: Machine) -> None:
    machine.hold(0)
    assert features.missing_capabilities() == [c.name for c in features.CAPABILITIES]


@pytest.mark.parametrize(("user", "missing"), [(0, 0), (65534, len(features.CAPABILITIES))])
def test_without_proc_the_user_decides(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, user: int, missing: int
) -> None:
    machine.remove("status")
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert len(features.missing_capabilities()) == missing


@pytest.mark.parametrize(("initial", "status"), [(True, "ok"), (False, "broken")])
def test_root_of_a_user_namespace(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, initial: bool, status: str
) -> None:
    namespace(machine, monkeypatch, "user", initial)
    found = features.capabilities()
    assert found.status == status
    assert ("user namespace's only" in found.detail) is not initial


@pytest.mark.parametrize(("initial", "status"), [(True, "ok"), (False, "degraded")])
def test_a_pid_namespace(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, initial: bool, status: str
) -> None:
    namespace(machine, monkeypatch, "pid", initial)
    found = features.pid_namespace()
    assert found.status == status
    assert ("--pid=host" in found.remedy) is not initial


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
