"""The doctor's looks at the system, each beside its lookalike."""

from __future__ import annotations

import errno
from importlib import metadata
from pathlib import Path

import pytest

from tracer.doctor import software, system
from tracer.kernel import symbols
from tracer.system.sockets import Dump
from tracer.timefmt import NS


def test_no_look_raises_whatever_this_machine_is() -> None:
    found = [check() for check in system.CHECKS]
    assert all(finding.status in ("ok", "degraded", None) for finding in found)
    assert len({finding.name for finding in found}) == len(found)
    # What is lost and how to get it: one never without the other.
    assert all(bool(f.lost) == bool(f.remedy) == (f.status == "degraded") for f in found)


@pytest.mark.parametrize(("missing", "status"), [([], "degraded"), (["CAP_SYSLOG"], None)])
def test_hidden_symbols(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], status: str | None
) -> None:
    """Hidden from all by a switch, or from this process: that one's own line says what is lost."""
    monkeypatch.setattr(symbols, "tells_addresses", lambda: False)
    monkeypatch.setattr(system, "missing_capabilities", lambda: missing)
    found = system.kernel_symbols()
    assert found.status == status
    assert ("kptr_restrict=1" in found.remedy) is (status == "degraded")
    monkeypatch.setattr(symbols, "tells_addresses", lambda: True)
    assert system.kernel_symbols().status == "ok"


def test_the_symbol_table_tells_addresses_or_not(tmp_path: Path) -> None:
    table = tmp_path / "kallsyms"
    table.write_text("0000000000000000 A fixed_percpu_data\nffffffff81000000 T _text\n")
    assert symbols.tells_addresses(table)
    table.write_text("0000000000000000 A fixed_percpu_data\n0000000000000000 T _text\n")
    assert not symbols.tells_addresses(table)
    table.write_text("")
    assert not symbols.tells_addresses(table)
    assert not symbols.tells_addresses(tmp_path / "absent")


def test_udp_diag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "udp_sockets", lambda *netns: Dump((), "udp_diag"))
    assert system.udp_diag().status == "ok"
    fallback = Dump((), "proc", "udp_diag: No such file or directory")
    monkeypatch.setattr(system, "udp_sockets", lambda *netns: fallback)
    found = system.udp_diag()
    assert (found.status, found.remedy) == ("degraded", "modprobe udp_diag")
    assert found.detail == "No such file or directory; /proc/net/udp is read instead"


def test_neither_udp_diag_nor_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*netns: int) -> Dump:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(system, "udp_sockets", refuse)
    found = system.udp_diag()
    assert found.status == "degraded"
    assert found.detail == "neither it nor /proc/net/udp can be read: Permission denied"


def test_container_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engines = {"docker": (f"{tmp_path}/sock", f"{tmp_path}/lib"), "podman": (f"{tmp_path}/run",)}
    monkeypatch.setattr(system, "ENGINES", engines)
    assert system.containers().detail == "no engine found"
    (tmp_path / "lib").mkdir()
    found = system.containers()
    assert (found.status, found.detail) == ("ok", "docker")
    assert found.facts["engines"] == ["docker"]


@pytest.mark.parametrize(
    ("contained", "pids", "mounted", "status", "words"),
    [
        (False, True, False, "ok", "the machine's own"),
        (True, True, False, "ok", "are seen by process 1"),
        (True, False, True, "ok", "with the machine's /run/netns"),
        (True, False, False, "degraded", "a container's; not here: "),
        (None, True, False, None, "not told: /proc/1/ns/mnt is hidden"),
    ],
)
def test_files(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    contained: bool | None,
    pids: bool,
    mounted: bool,
    status: str | None,
    words: str,
) -> None:
    directory = tmp_path if mounted else tmp_path / "none"
    monkeypatch.setattr(system, "NETNS_MOUNTS", (str(directory),))
    monkeypatch.setattr(system, "in_container", lambda: contained)
    monkeypatch.setattr(system, "is_initial", lambda kind: pids)
    found = system.files()
    assert found.status == status
    assert words in found.detail
    assert (f"-v {directory}:{directory}:ro,rslave" in found.remedy) is (status == "degraded")


@pytest.mark.parametrize(("seconds", "status"), [(86400, "degraded"), (1_795_000_000, "ok")])
def test_clock(monkeypatch: pytest.MonkeyPatch, seconds: int, status: str) -> None:
    monkeypatch.setattr("time.time_ns", lambda: seconds * NS)
    found = system.clock()
    assert found.status == status
    assert found.detail.startswith("1970-01-02 " if status == "degraded" else "2026-11-18 ")


def test_a_module_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "tabulate":
            raise metadata.PackageNotFoundError(name)
        return "8.1.8"

    monkeypatch.setattr(metadata, "version", version)
    found = software.versions()
    assert "click 8.1.8, tabulate not installed" in found.detail
    assert found.facts["tabulate"] is None
