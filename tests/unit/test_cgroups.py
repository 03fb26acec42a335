"""Cgroups' names as engines give them, with systemd and without, in both hierarchies."""

from __future__ import annotations

import pytest

from tracer.system.containers.cgroups import marks, paths

ID = "3f2a9c1b" * 8
POD = "kubepods-besteffort-pod0b1d_9.slice"


@pytest.mark.parametrize(
    ("path", "engine"),
    [
        (f"/docker/{ID}", "docker"),
        (f"/system.slice/docker-{ID}.scope", "docker"),
        (f"/machine.slice/libpod-{ID}.scope", "podman"),
        (f"/libpod_parent/libpod-{ID}", "podman"),
        (f"/system.slice/web.service/libpod-payload-{ID}", "podman"),
        (
            f"/kubepods.slice/kubepods-besteffort.slice/{POD}/cri-containerd-{ID}.scope",
            "containerd",
        ),
        (f"/kubepods.slice/{POD}/crio-{ID}.scope", "cri-o"),
        (f"/system.slice/containerd.service/{POD}:cri-containerd:{ID}", "containerd"),
        (f"/system.slice/nerdctl-{ID}.scope", "containerd"),
        (f"/kubepods/besteffort/pod0b1d/{ID}", ""),
    ],
)
def test_an_engines_name(path: str, engine: str) -> None:
    last = list(marks(path))[-1]
    assert (last.id, last.engine, last.path) == (ID, engine, path)


def test_what_is_below_a_container_comes_last() -> None:
    found = [(mark.id, mark.engine) for mark in marks(f"/docker/{ID}/init.scope")]
    assert found == [("docker", ""), (ID, "docker"), ("init.scope", "")]


@pytest.mark.parametrize(
    "path", ["/", "", f"/system.slice/libpod-conmon-{ID}.scope", f"/crio-conmon-{ID}.scope"]
)
def test_lookalikes(path: str) -> None:
    assert ID not in [mark.id for mark in marks(path)]


def test_a_short_or_a_wrong_id_is_any_name() -> None:
    for part in (ID[:63], f"{ID}0", ID.upper(), f"docker-{ID[:12]}.scope"):
        assert {mark.engine for mark in marks(f"/docker/{part}")} == {""}


def test_ctr_has_a_namespace_and_an_id() -> None:
    last = list(marks("/default/web"))[-1]
    assert (last.id, last.scope, last.engine) == ("web", "default", "")


def test_both_hierarchies_the_unified_one_first() -> None:
    text = b"12:memory:/docker/a\n1:name=systemd:/docker/a\n0::/system.slice/b\n"
    assert paths(text) == ["/system.slice/b", "/docker/a"]


def test_a_cgroup_with_colons_newlines_and_odd_bytes() -> None:
    assert paths(b"0::/a:b\\012c/\xff\n") == ["/a:b\\012c/\\xff"]
    assert paths(b"") == []
    assert paths(b"nonsense") == [""]
