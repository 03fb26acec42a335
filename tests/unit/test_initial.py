"""The machine's own namespaces told from a container's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.system import initial
from tracer.system.initial import in_container, is_initial


@pytest.fixture
def namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's process's /proc/self/ns, and process 1's mount namespace, as files."""
    directory = tmp_path / "ns"
    directory.mkdir()
    for kind in ("pid", "user", "mnt"):
        (directory / kind).touch()
    monkeypatch.setattr(initial, "NAMESPACES", directory)
    monkeypatch.setattr(initial, "INIT_MOUNTS", directory / "mnt")
    numbers = {kind: (directory / kind).stat().st_ino for kind in ("pid", "user")}
    monkeypatch.setattr(initial, "_INITIAL", numbers)
    return directory


def test_a_process_of_the_host(namespaces: Path) -> None:
    assert is_initial("pid")
    assert is_initial("user")
    assert in_container() is False


def test_a_container_with_processes_of_its_own(
    namespaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "_INITIAL", {"pid": 1, "user": 1})
    assert is_initial("pid") is is_initial("user") is False
    assert in_container()


def test_a_container_with_the_hosts_processes(
    namespaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "INIT_MOUNTS", namespaces / "pid")
    assert in_container()


def test_what_cannot_be_told_is_not_claimed(
    namespaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "INIT_MOUNTS", namespaces / "none")
    assert in_container() is None
    (namespaces / "pid").unlink()
    assert is_initial("pid") is None
    assert in_container() is None
