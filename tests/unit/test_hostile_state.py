"""Engines' state files that anybody could have written: huge, endless, of another kind, false."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.unit.test_hostile import changed
from tests.unit.test_layouts import LAYOUTS, NAMES
from tests.unit.test_layouts_made import ID, TASKS, look, put, write
from tracer.containers import Container
from tracer.system.containers import files
from tracer.system.containers.files import Files, listed, read

USER = 1000
STORE = "home/dev/.local/share/containers/storage/overlay-containers"
PIDFILE = f"run/user/{USER}/containers/overlay-containers/{ID}/userdata/pidfile"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with a user who says that a container of his is process 77's."""
    write(tmp_path, "etc/passwd", f"dev:x:{USER}:{USER}::/home/dev:/bin/sh\n")
    write(tmp_path, f"{STORE}/containers.json", [{"id": ID, "names": ["innocent"]}])
    write(tmp_path, PIDFILE, "77")
    return tmp_path


def test_a_user_names_no_container_of_others(machine: Path) -> None:
    """By its id, which anybody can read, and by the number of its first process."""
    put(machine, 77, f"/kubepods.slice/cri-containerd-{ID}.scope")
    assert look(machine).container_of(77) == Container("containerd", ID, None, None)
    write(machine, f"{TASKS}/k8s.io/{ID}/init.pid", "77")
    named = look(machine).container_of(77)
    assert named is not None
    assert (named.engine, named.uid) == ("containerd", None)


def test_a_user_names_his_own(machine: Path) -> None:
    put(machine, 77, f"/user.slice/user-{USER}.slice/user@{USER}.service/libpod-{ID}.scope")
    assert look(machine).container_of(77) == Container("podman", ID, "innocent", None, uid=USER)
    put(machine, 77, f"/user.slice/user-{USER + 1}.slice/user@{USER}.service/libpod-{ID}.scope")
    assert look(machine).container_of(77) == Container("podman", ID, None, None)


@pytest.mark.parametrize("kind", ["fifo", "link", "endless", "directory", "absent"])
def test_a_file_that_is_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        (tmp_path / "true.json").write_text("{}")
        path.symlink_to(tmp_path / "true.json")
    elif kind == "endless":
        path = Path("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    assert read(str(path)) == b""
    assert Files().json(str(path)) is None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "\ud800", "NaN,", "9" * 5000])
def test_a_file_that_is_no_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(text, errors="surrogatepass")
    assert Files().json(str(path)) is None


def test_a_file_larger_than_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert read(str(path)) == b""


def test_what_is_not_roots_takes_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small lists are what JSON grows by most: thirtyfold."""
    monkeypatch.setattr(files, "_OTHERS_LARGEST", 64 << 10)
    monkeypatch.setattr(files, "_OTHERS_KEPT", 256 << 10)
    body = b"[" + b"[]," * 20_000 + b"[]]"
    paths = [tmp_path / f"{number}.json" for number in range(40)]
    for path in paths:
        path.write_bytes(body)
        if os.geteuid() == 0:
            os.chown(path, USER, USER)
    known = Files()
    tracemalloc.start()
    assert all(known.json(str(path)) for path in paths)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 12e6
    paths[0].write_bytes(body + b" " * 6000)
    assert known.json(str(paths[0])) is None


def test_a_directory_of_more_names_than_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST_NAMES", 7)
    for number in range(20):
        (tmp_path / str(number)).touch()
    assert len(listed(str(tmp_path))) == 7


@pytest.mark.parametrize("name", NAMES)
def test_state_of_any_shape(name: str, tmp_path: Path) -> None:
    """Real state with some of it replaced by something else: there is an answer, or none."""
    shutil.copytree(LAYOUTS / name, tmp_path, dirs_exist_ok=True)
    states = [p for p in sorted(tmp_path.rglob("*.json")) if p.name != "truth.json"]
    pids = [int(path.name) for path in (tmp_path / "proc").iterdir()]
    texts = {path: path.read_text() for path in states}
    for seed in range(12):
        random = Random(seed)
        for path, text in texts.items():
            path.write_text(json.dumps(_distorted(json.loads(text), random)))
        engines = look(tmp_path)
        for found in [*engines.all(), *map(engines.container_of, pids)]:
            assert found is None or str(found).isprintable()


def _distorted(value: Any, random: Random) -> Any:
    for _ in range(random.randrange(8)):
        value = changed(value, random)
    return value
