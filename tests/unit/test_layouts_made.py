"""State of engines that Debian does not have, made as their documentation has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracer.containers import Container
from tracer.system.containers.engines import Engines

ID, SANDBOX = "3f2a9c1b" * 8, "5ab0c2d4" * 8
STORAGE = "var/lib/containers/storage/overlay-containers"
RUN = "run/containers/storage/overlay-containers"
TASKS = "run/containerd/io.containerd.runtime.v2.task"


def write(root: Path, path: str, content: Any) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def put(root: Path, pid: int, cgroup: str) -> None:
    write(root, f"proc/{pid}/cgroup", f"0::{cgroup}\n")
    write(root, f"proc/{pid}/stat", f"{pid} (x) S 1 0\n")


def look(root: Path) -> Engines:
    return Engines(str(root), str(root / "proc"))


def crio(kind: str, **more: str) -> dict[str, Any]:
    """The annotations that CRI-O gives (its internal/annotations, and the kubelet's labels)."""
    keys = {
        "io.container.manager": "cri-o",
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.name": "cart-0",
        "io.kubernetes.cri-o.ContainerType": kind,
        **more,
    }
    return {"annotations": keys}


def test_crio(tmp_path: Path) -> None:
    entries = [
        {"id": SANDBOX, "names": ["k8s_POD_cart-0_shop_0b1d_0"], "metadata": "{}"},
        {"id": ID, "names": ["k8s_cart_cart-0_shop_0b1d_0"], "metadata": "not JSON"},
    ]
    write(tmp_path, f"{STORAGE}/containers.json", entries)
    named = {
        "io.kubernetes.container.name": "cart",
        "io.kubernetes.cri-o.ImageName": "registry.example/cart:1",
    }
    write(tmp_path, f"{RUN}/{SANDBOX}/userdata/config.json", crio("sandbox"))
    write(tmp_path, f"{RUN}/{ID}/userdata/config.json", crio("container", **named))
    write(tmp_path, f"{RUN}/{ID}/userdata/pidfile", "77")
    cart = Container("cri-o", ID, "cart", "registry.example/cart:1", "shop/cart-0")
    pause = Container("cri-o", SANDBOX, None, None, "shop/cart-0", sandbox=True)
    found = {one.container.id: one for one in look(tmp_path).all()}
    assert (found[ID].container, found[ID].pid) == (cart, 77)
    assert found[SANDBOX].container == pause
    put(tmp_path, 77, f"/kubepods.slice/kubepods-pod0b1d.slice/crio-{ID}.scope")
    assert look(tmp_path).container_of(77) == cart
    put(tmp_path, 78, f"/kubepods.slice/kubepods-pod0b1d.slice/crio-conmon-{ID}.scope")
    assert look(tmp_path).container_of(78) is None


def test_podmans_annotations_like_crios_make_no_pod(tmp_path: Path) -> None:
    write(tmp_path, f"{STORAGE}/containers.json", [{"id": ID, "names": ["web"]}])
    keys = crio("container")["annotations"] | {"io.container.manager": "libpod"}
    write(tmp_path, f"{STORAGE}/{ID}/userdata/config.json", {"annotations": keys})
    (found,) = look(tmp_path).all()
    assert found.container == Container("podman", ID, "web", None)


def test_nerdctl(tmp_path: Path) -> None:
    task = f"{TASKS}/default/{ID}"
    write(tmp_path, f"{task}/config.json", {"annotations": {"nerdctl/name": "web"}})
    write(tmp_path, f"{task}/init.pid", "77")
    web = Container("containerd", ID, "web", None, scope="default")
    put(tmp_path, 77, f"/system.slice/nerdctl-{ID}.scope")
    assert look(tmp_path).container_of(77) == web
    assert [one.container for one in look(tmp_path).all()] == [web]


def test_cri_dockerd(tmp_path: Path) -> None:
    labels = {
        "io.kubernetes.pod.namespace": "shop",
        "io.kubernetes.pod.name": "cart-0",
        "io.kubernetes.container.name": "cart",
        "io.kubernetes.docker.type": "container",
    }
    state = {"ID": ID, "Name": "/k8s_cart_cart-0_shop_0b1d_0", "Config": {"Labels": labels}}
    write(tmp_path, f"var/lib/docker/containers/{ID}/config.v2.json", state)
    (found,) = look(tmp_path).all()
    assert found.container == Container("docker", ID, "cart", None, "shop/cart-0")


@pytest.mark.parametrize("moved", ["daemon.json", "rootless"])
def test_docker_elsewhere(moved: str, tmp_path: Path) -> None:
    state = {"ID": ID, "Name": "/web", "State": {"Running": True, "Pid": 77}}
    if moved == "rootless":
        write(tmp_path, "etc/passwd", "dev:x:1000:1000::/home/dev:/bin/sh\n")
        place, uid = "home/dev/.local/share/docker", 1000
    else:
        write(tmp_path, "etc/docker/daemon.json", {"data-root": "/srv/docker"})
        place, uid = "srv/docker", None
    write(tmp_path, f"{place}/containers/{ID}/config.v2.json", state)
    (found,) = look(tmp_path).all()
    assert (found.container, found.pid) == (Container("docker", ID, "web", None, uid=uid), 77)


def test_a_podman_container_that_goes_when_it_ends(tmp_path: Path) -> None:
    write(tmp_path, f"{STORAGE}/volatile-containers.json", [{"id": ID, "names": ["brief"]}])
    assert [one.container.name for one in look(tmp_path).all()] == ["brief"]
