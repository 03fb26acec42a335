"""The ready file: whole when it appears, and never an old one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracer.errors import UdptraceError
from tracer.ready import remove_ready, write_ready


def test_it_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    write_ready(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_one_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    remove_ready(str(path))
    path.touch()
    remove_ready(str(path))
    assert not path.exists()


def test_a_symbolic_link_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "ready"
    victim.write_text("precious")
    path.symlink_to(victim)
    write_ready(str(path))
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_where_it_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(UdptraceError) as caught:
        write_ready(str(tmp_path / "no" / "ready"))
    assert str(caught.value) == f"ready file {tmp_path}/no/ready: No such file or directory"
    with pytest.raises(UdptraceError, match="Is a directory"):
        remove_ready(str(tmp_path))
