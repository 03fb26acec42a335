"""The capabilities a process has, against those a trace needs or uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.kernel import capabilities, symbols
from tracer.kernel.capabilities import CAPABILITIES, Capability, losses, missing_capabilities
from tracer.system import initial, own_status

ALL = (1 << 41) - 1

NEEDED = [c for c in CAPABILITIES if c.use]
USED = [c for c in CAPABILITIES if c.lost]


def mask(*names: str) -> int:
    return sum(1 << c.bit for c in CAPABILITIES if c.name in names)


class Process:
    """A process, by what /proc tells of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.hold(ALL)

    def hold(self, effective: int) -> None:
        text = f"Name:\tx\nCapEff:\t{effective:016x}\nCapBnd:\t{ALL:016x}\n"
        (self._directory / "status").write_text(text)

    def hide(self) -> None:
        (self._directory / "status").unlink()


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(own_status, "STATUS", tmp_path / "status")
    monkeypatch.setattr(initial, "NAMESPACES", tmp_path / "ns")
    monkeypatch.setattr(symbols, "tells_addresses", lambda: False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return Process(tmp_path)


def test_all_of_them(process: Process) -> None:
    assert capabilities.summary().status == "ok"
    assert list(losses()) == []


@pytest.mark.parametrize("capability", NEEDED, ids=lambda c: c.name)
def test_one_that_is_needed(process: Process, capability: Capability) -> None:
    process.hold(ALL & ~mask(capability.name, *capability.instead))
    found = capabilities.summary()
    assert found.status == "broken"
    assert found.detail == f"not allowed: {capability.use} needs {capability.name}"
    assert found.remedy.startswith(f"sudo udptrace, or give it {capability.name} ")
    # What used to hold it serves as well.
    process.hold(ALL & ~mask(capability.name))
    assert capabilities.summary().status == "ok"


@pytest.mark.parametrize("capability", USED, ids=lambda c: c.name)
def test_one_that_a_trace_can_do_without(process: Process, capability: Capability) -> None:
    process.hold(ALL & ~mask(capability.name, *capability.instead))
    assert capabilities.summary().status == "ok"
    (found,) = losses()
    assert (found.name, found.status) == (capability.name, "degraded")
    assert (found.detail, found.lost) == (f"without {capability.name}", capability.lost)


@pytest.mark.parametrize("kept", ["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"])
def test_one_of_two_reads_other_users_processes(process: Process, kept: str) -> None:
    process.hold(ALL & ~mask("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH") | mask(kept))
    assert list(losses()) == []


def test_the_smallest_set_that_starts_a_trace(process: Process) -> None:
    process.hold(mask("CAP_BPF", "CAP_PERFMON"))
    assert capabilities.summary().status == "ok"
    assert [finding.name for finding in losses()] == [c.name for c in USED]


def test_symbols_that_are_told_to_all(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    process.hold(ALL & ~mask("CAP_SYSLOG"))
    monkeypatch.setattr(symbols, "tells_addresses", lambda: True)
    assert list(losses()) == []


def test_a_root_that_lacks_some_does_not_need_sudo(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    process.hold(0)
    remedy = capabilities.summary().remedy
    assert "--cap-add=BPF --cap-add=PERFMON" in remedy
    assert "sudo" not in remedy


def test_none_at_all(process: Process) -> None:
    process.hold(0)
    assert missing_capabilities() == [c.name for c in CAPABILITIES]


@pytest.mark.parametrize(("user", "missing"), [(0, 0), (65534, len(CAPABILITIES))])
def test_without_proc_the_user_decides(
    process: Process, monkeypatch: pytest.MonkeyPatch, user: int, missing: int
) -> None:
    process.hide()
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert len(missing_capabilities()) == missing


@pytest.mark.parametrize(("own", "status"), [(False, "ok"), (True, "broken")])
def test_root_of_a_user_namespace(
    process: Process, monkeypatch: pytest.MonkeyPatch, own: bool, status: str
) -> None:
    monkeypatch.setattr(capabilities, "is_initial", lambda kind: not own)
    found = capabilities.summary()
    assert found.status == status
    assert ("user namespace's only" in found.detail) is own
