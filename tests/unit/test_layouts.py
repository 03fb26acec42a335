"""Engines' state as the engines really leave it (tests/layouts), read without any of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tracer.containers import Container
from tracer.system.containers import monitors
from tracer.system.containers.engines import Engines
from tracer.system.containers.resolve import meant

LAYOUTS = Path(__file__).resolve().parents[1] / "layouts"
NAMES = sorted(path.name for path in LAYOUTS.iterdir() if path.is_dir())

# Programs of the engines that are no container's.
OUTSIDE = ("conmon", "containerd-shim-runc-v2", "containerd", "dockerd", "podman")


@dataclass
class Layout:
    """One machine: its files, what its engine said of its containers, and our look at it."""

    name: str
    root: Path
    uid: int | None

    def __post_init__(self) -> None:
        self.truth: list[dict[str, Any]] = json.loads((self.root / "truth.json").read_text())
        self.engines = Engines(str(self.root), str(self.root / "proc"))

    @property
    def known(self) -> list[dict[str, Any]]:
        """Those that files tell of: containerd has one without a task in its database alone."""
        return [one for one in self.truth if one["pid"] or "containerd" not in self.name]

    @property
    def running(self) -> list[dict[str, Any]]:
        return [one for one in self.truth if one["pid"]]

    def programs(self) -> dict[int, str]:
        """The processes by number: the first word of their command lines."""
        found = {}
        for path in self.root.glob("proc/*/cmdline"):
            words = path.read_bytes().split(b"\0")
            found[int(path.parent.name)] = Path(words[0].decode()).name
        return found


def look(name: str, monkeypatch: pytest.MonkeyPatch, root: Path | None = None) -> Layout:
    root = root or LAYOUTS / name
    uid = 1000 if "rootless" in name else None
    monkeypatch.setattr(monitors, "owner_of", lambda pid, proc: uid or 0)
    return Layout(name, root, uid)


@pytest.fixture(params=NAMES)
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Layout:
    return look(request.param, monkeypatch)


def test_there_are_two_versions_of_each_engine() -> None:
    kinds = [name.rpartition("-")[0] for name in NAMES]
    assert sorted(kinds) == sorted(2 * [*dict.fromkeys(kinds)])


def expected(layout: Layout, one: dict[str, Any]) -> Container:
    """The container as its engine told of it; what no file of the engine's has is None."""
    if "pod" in one:
        sandbox = one["role"] == "sandbox"
        name, image = (None, None) if sandbox else (one["role"], one["image"])
        pod, scope = one["pod"], "k8s.io"
        return Container("containerd", one["id"], name, image, pod, sandbox, scope=scope)
    if layout.name.startswith("containerd"):
        # Which image ctr ran is in containerd's database alone.
        return Container("containerd", one["id"], one["name"], None, scope="default")
    engine = layout.name.split("-")[0]
    return Container(engine, one["id"], one["name"], one["image"], uid=layout.uid)


def test_every_container_and_its_first_process(layout: Layout) -> None:
    found = {one.container.id: one for one in layout.engines.all()}
    assert set(found) == {one["id"] for one in layout.known}
    for one in layout.running:
        assert found[one["id"]].container == expected(layout, one)
        assert found[one["id"]].pid == one["pid"]


def test_a_stopped_one_has_no_process_that_runs(layout: Layout) -> None:
    for one in layout.known:
        if not one["pid"]:
            (found,) = (f for f in layout.engines.all() if f.container.id == one["id"])
            assert found.container == expected(layout, one)
            assert not found.running


def test_the_container_of_a_process(layout: Layout) -> None:
    for one in layout.running:
        assert layout.engines.container_of(one["pid"]) == expected(layout, one)


def test_what_exec_starts_is_in_the_container(layout: Layout) -> None:
    web = layout.running[0]
    first = (layout.root / f"proc/{web['pid']}/cgroup").read_bytes()
    container = expected(layout, web)
    mine = [pid for pid in layout.programs() if layout.engines.container_of(pid) == container]
    if first.strip() != b"0::/":
        same = [
            pid
            for pid in layout.programs()
            if (layout.root / f"proc/{pid}/cgroup").read_bytes() == first
        ]
        assert sorted(mine) == sorted(same)
    assert web["pid"] in mine


def test_the_engines_own_processes_are_in_none(layout: Layout) -> None:
    own = [pid for pid, program in layout.programs().items() if program in OUTSIDE]
    assert own
    assert [layout.engines.container_of(pid) for pid in own] == [None] * len(own)


def test_names_ids_and_pods_are_found(layout: Layout) -> None:
    for one in layout.known:
        container = expected(layout, one)
        words = [one["id"], one["id"][:12], container.name]
        words += [f"{container.pod}/{container.name}"] if container.pod and container.name else []
        for word in filter(None, words):
            (matches,) = meant(word, layout.engines).values()
            assert [found.container.id for found in matches] == [one["id"]], word
    if "pod" in layout.truth[0]:
        (matches,) = meant("prod/web-0", layout.engines).values()
        assert len(matches) == 3


# Lookalikes


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy of docker's machine, to be changed."""
    shutil.copytree(LAYOUTS / "docker-26.1", tmp_path / "root")
    return look("docker-26.1", monkeypatch, tmp_path / "root")


def put(layout: Layout, pid: int, cgroup: str, command: str = "sleep", parent: int = 1) -> None:
    """A process of that machine."""
    directory = layout.root / f"proc/{pid}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup").write_text(f"0::{cgroup}\n")
    (directory / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (directory / "stat").write_text(f"{pid} (x) S {parent} 0 0 0 0\n")


def test_a_cgroup_called_like_a_containers_somewhere_else(docker: Layout) -> None:
    web = docker.truth[0]["id"]
    for cgroup in (
        f"/user.slice/user-1000.slice/docker-{web}.scope",
        f"/docker/{docker.truth[1]['id']}/docker/{web}",
        f"/docker/{web}x",
        f"/machine/{web}",
    ):
        put(docker, 9999, cgroup)
        found = docker.engines.container_of(9999)
        assert found is None or found.id != web, cgroup


def test_what_is_below_a_containers_cgroup_is_in_it(docker: Layout) -> None:
    web = docker.truth[0]
    put(docker, 9999, f"/docker/{web['id']}/init.scope/deeper")
    assert docker.engines.container_of(9999) == expected(docker, web)


def test_a_container_that_no_state_knows(docker: Layout) -> None:
    put(docker, 9999, f"/system.slice/docker-{'ab' * 32}.scope")
    assert docker.engines.container_of(9999) == Container("docker", "ab" * 32, None, None)


def test_a_conmon_of_anybodys_names_no_container_of_roots(
    docker: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "owner_of", lambda pid, proc: 1000)
    web = docker.truth[0]
    put(docker, 9000, "/user.slice", f"/tmp/conmon -c {web['id']} -n web")
    put(docker, 9001, "/user.slice", parent=9000)
    found = docker.engines.container_of(9001)
    assert found == Container("podman", web["id"], "web", None, uid=1000)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"ID": 7}', b'{"ID": null, "State": []}', b"[" * 100_000, b"\xff\xfe"],
)
def test_damaged_state_is_as_good_as_none(docker: Layout, damage: bytes) -> None:
    web = docker.truth[0]["id"]
    path = docker.root / f"var/lib/docker/containers/{web}/config.v2.json"
    path.write_bytes(damage)
    assert web not in [found.container.id for found in docker.engines.all()]
    bare = Container("docker", web, None, None)
    assert docker.engines.container_of(docker.truth[0]["pid"]) == bare


def test_state_that_would_not_be_read_to_its_end(docker: Layout) -> None:
    web = docker.truth[0]["id"]
    path = docker.root / f"var/lib/docker/containers/{web}/config.v2.json"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert web not in [found.container.id for found in docker.engines.all()]


def test_a_renamed_container_has_its_new_name(docker: Layout) -> None:
    web = docker.truth[0]
    path = docker.root / f"var/lib/docker/containers/{web['id']}/config.v2.json"
    assert docker.engines.container_of(web["pid"]) == expected(docker, web)
    path.write_text(path.read_text().replace('"/web"', '"/renamed"'))
    assert docker.engines.container_of(web["pid"]) == expected(docker, web | {"name": "renamed"})
