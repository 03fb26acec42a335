"""The engines' recorded state (tests/layouts), read as on a machine: what the engines themselves
say of their containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracer.system.containers.cgroups import marks, paths
from tracer.system.containers.engines import Engines
from tracer.system.containers.found import Found

LAYOUTS = Path(__file__).resolve().parents[1] / "layouts"
NAMES = sorted(path.name for path in LAYOUTS.iterdir() if path.is_dir())

# ctr's containers have an image in containerd's database alone, and stopped ones are only there.
ONLY_RUNNING = ("containerd", "cri-containerd")


def told(layout: str) -> dict[str, dict[str, Any]]:
    """What the engine said, by id."""
    containers = json.loads((LAYOUTS / layout / "truth.json").read_text())
    return {container["id"]: container for container in containers}


def read(layout: str) -> dict[str, Found]:
    """What is read from the files, by id."""
    return {found.container.id: found for found in Engines(str(LAYOUTS / layout)).all()}


def kind(layout: str) -> str:
    """The engine of a layout, without its version."""
    return layout.rpartition("-")[0]


def test_there_are_two_versions_of_each_engine() -> None:
    kinds = [kind(layout) for layout in NAMES]
    assert sorted(kinds) == sorted(2 * [*dict.fromkeys(kinds)])
    assert len(set(kinds)) == 5


@pytest.mark.parametrize("layout", NAMES)
def test_every_container_is_found_with_its_first_process(layout: str) -> None:
    expected = {i: each["pid"] for i, each in told(layout).items()}
    if kind(layout) in ONLY_RUNNING:
        expected = {i: pid for i, pid in expected.items() if pid}
    found = {i: each.pid for i, each in read(layout).items()}
    if kind(layout).startswith("podman"):
        # Its file stays when a container ends.
        stale = [i for i, each in told(layout).items() if not each["pid"]]
        assert all(found.pop(i) for i in stale)
        expected = {i: pid for i, pid in expected.items() if pid}
    assert found == expected


@pytest.mark.parametrize("layout", [name for name in NAMES if not name.startswith("cri-")])
def test_names_images_and_engines(layout: str) -> None:
    truth, engine = told(layout), kind(layout).partition("-")[0]
    for identity, found in read(layout).items():
        container = found.container
        assert (container.engine, container.name) == (engine, truth[identity]["name"])
        assert container.image == (None if engine == "containerd" else truth[identity]["image"])
        assert container.uid == (1000 if "rootless" in layout else None)
        assert container.pod is None


@pytest.mark.parametrize("layout", [name for name in NAMES if name.startswith("cri-")])
def test_a_pod_and_its_containers(layout: str) -> None:
    truth = told(layout)
    for identity, found in read(layout).items():
        container, role = found.container, truth[identity]["role"]
        assert container.pod == truth[identity]["pod"]
        assert container.sandbox == (role == "sandbox")
        assert container.name == (None if container.sandbox else role)
        assert container.image == (None if container.sandbox else truth[identity]["image"])


@pytest.mark.parametrize("layout", NAMES)
def test_a_cgroup_names_its_container(layout: str) -> None:
    """But a rootless one's, which has none where there is no systemd."""
    for identity, each in told(layout).items():
        if each["pid"]:
            text = (LAYOUTS / layout / "proc" / str(each["pid"]) / "cgroup").read_bytes()
            named = [mark.id for path in paths(text) for mark in marks(path)]
            assert (identity in named) == ("rootless" not in layout)
