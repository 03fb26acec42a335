"""The cache of compiled probes: whole or not at all, and by nobody but root."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tracer.kernel import cache


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Not there yet; its owner's files count as root's."""
    path = tmp_path / "udptrace"
    monkeypatch.setattr(cache, "DIRECTORY", path)
    monkeypatch.setattr(cache, "ROOT", os.geteuid())
    return path


def _link(file: Path) -> None:
    file.rename(file.with_suffix(".moved"))
    file.symlink_to(file.with_suffix(".moved"))


def test_what_was_written_is_read(directory: Path) -> None:
    assert cache.read("key") is None
    cache.write("key", b"content\n with lines\n")
    assert cache.read("key") == b"content\n with lines\n"
    assert cache.read("other") is None
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in directory.iterdir()] == ["key.kept"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b""),
        lambda file: file.chmod(0o620),
        lambda file: file.chmod(0o602),
        lambda file: file.parent.chmod(0o777),
        _link,
    ],
)
def test_what_root_alone_did_not_write_whole_is_not_read(
    directory: Path, spoil: Callable[[Path], None]
) -> None:
    cache.write("key", b"content")
    spoil(directory / "key.kept")
    assert cache.read("key") is None


def test_a_directory_that_others_may_write_to_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    cache.write("key", b"content")
    assert list(directory.iterdir()) == []


def test_others_than_root_neither_read_nor_write(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write("key", b"content")
    monkeypatch.setattr(cache, "ROOT", os.geteuid() + 1)
    assert cache.read("key") is None
    cache.write("another", b"content")
    assert len(list(directory.iterdir())) == 1


def test_a_disk_that_takes_nothing_is_no_failure(directory: Path) -> None:
    directory.write_text("a file in its place")
    cache.write("key", b"content")
    assert cache.read("key") is None


def test_the_oldest_make_room(directory: Path) -> None:
    for number in range(cache.KEPT):
        cache.write(str(number), b"content")
        os.utime(directory / f"{number}.kept", (number, number))
    cache.write("new", b"content")
    assert cache.read("new") is not None
    assert cache.read("0") is None
    assert cache.read("1") is not None
