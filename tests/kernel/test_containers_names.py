"""Containers that share a network namespace, are in the host's, or have no cgroup: all named."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.engines.container import Container
from tests.kernel.engines.containerd import FULL_IMAGE, Ctr
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.engines.image import NC
from tests.kernel.engines.pods import NAMESPACE, Pod
from tests.kernel.live import Json, Live, wait_for
from tests.kernel.net import Namespace


def sends(port: int, nc: str = NC) -> tuple[str, str, str]:
    """A command that sends a datagram which nobody takes, a while after its connect(), again and
    again: names that are looked up late are in a later incident."""
    return "sh", "-c", f"while :; do (sleep 2; echo x) | {nc} -u 127.0.0.1 {port}; done"


def told(live: Live, port: int, holds: Callable[[Json], object]) -> Json:
    """The incident of a port, once what it says of its sender holds."""

    def found() -> Json | None:
        return next((i for i in live.incidents(dport=port) if i["origin"] and holds(i)), None)

    def said() -> str:
        latest = [(i["time"], i["netns"], i["origin"]) for i in live.incidents(dport=port)[-3:]]
        return f"port {port}: {latest}; {live.stderr()}"

    wait_for(found, said)
    incident = found()
    assert incident is not None
    return incident


def senders(incident: Json) -> list[str | None]:
    """The containers of the processes that sent it."""
    return [process["container"] for process in incident["origin"]["processes"]]


def names(incident: Json) -> set[str | None]:
    """The containers in its network namespace."""
    return {container["name"] for container in incident["netns"]["containers"]}


def test_a_container_in_the_hosts_network(live: Live, docker: DockerLike) -> None:
    """Its process is named; the host's namespace is no container's."""
    with docker.run("hostnet", *sends(4611), options=("--network=host",)):
        incident = told(live, 4611, lambda i: senders(i) == ["hostnet"])
    assert incident["netns"]["name"] == "host"
    assert incident["netns"]["container"] is None
    assert incident["netns"]["containers"] == []


def test_two_containers_in_one_namespace(live: Live, docker: DockerLike, steady: Container) -> None:
    """Both are named for the namespace, and each for its own process."""
    with docker.run("mate", *sends(4612), options=(f"--network=container:{steady.name}",)):
        incident = told(live, 4612, lambda i: names(i) == {"steady", "mate"})
    assert senders(incident) == ["mate"]
    assert incident["netns"]["container"] is None


def test_a_rootless_container(live: Live, rootless: DockerLike) -> None:
    """It has no cgroup of its own here: its monitor tells."""
    with rootless.run("rover", *sends(4613)) as container:
        incident = told(live, 4613, lambda i: senders(i) == ["rover"] and names(i) == {"rover"})
    named = incident["netns"]["container"]
    assert (named["engine"], named["id"]) == ("podman", container.id)
    assert named["uid"] == int(subprocess.check_output(["id", "-u", "dev"]))


def test_a_pod(live: Live, ctr: Ctr, image: Path) -> None:
    """Its sandbox is not what runs there."""
    with Ctr(NAMESPACE) as kubernetes, Pod(kubernetes, "prod", "web-0") as pod:
        kubernetes.load(image)
        pod.start()
        with pod.run("nginx", *sends(4614)) as container:
            incident = told(live, 4614, lambda i: senders(i) == ["nginx"] and len(names(i)) == 2)
        netns = incident["netns"]
        assert netns["pod"] == "prod/web-0"
        assert (netns["container"]["id"], netns["container"]["name"]) == (container.id, "nginx")
        assert netns["container"]["image"] == FULL_IMAGE


@pytest.fixture(scope="module")
def known(steady: Container, ctr: Ctr) -> str:
    """The id of a container of docker's that runs; one of ctr's is called "known"."""
    ctr.run("known")
    return steady.id


@pytest.mark.parametrize(
    ("port", "cgroup", "label"),
    [
        (4615, "docker-{nobody}.scope", "0123456789ab"),
        (4616, "user.slice/docker-{known}.scope", None),
        (4617, "user.slice/default/known", None),
    ],
    ids=["an unknown id", "a container's id elsewhere", "a container's name"],
)
def test_containers_lookalike_a_cgroup_called_like_one(
    port: int, cgroup: str, label: str | None, known: str, live: Live, box: Namespace
) -> None:
    """Who may make cgroups may call them anything: no container's name is taken from that."""
    path = Path("/sys/fs/cgroup", cgroup.format(known=known, nobody="0123456789abcdef" * 4))
    with process_in(path, box, sends(port, "nc.openbsd")):
        incident = told(live, port, lambda i: senders(i) == [label] and labels(i) == [label])
    assert not any(names(incident))


def labels(incident: Json) -> list[str | None]:
    """The short ids of the containers in its network namespace; [None] where there are none."""
    return [each["id"][:12] for each in incident["netns"]["containers"]] or [None]


@contextmanager
def process_in(cgroup: Path, box: Namespace, command: tuple[str, ...]) -> Iterator[None]:
    """A command in a cgroup of this test's own and in a namespace."""
    made = [path for path in (cgroup, *cgroup.parents) if not path.exists()]
    cgroup.mkdir(parents=True)
    # First the cgroup: ip mounts a /sys of the namespace's own, which has none.
    script = f'echo $$ > {cgroup}/cgroup.procs && exec ip netns exec {box.name} "$@"'
    process = subprocess.Popen(["sh", "-c", script, "sh", *command], start_new_session=True)
    try:
        wait_for(lambda: (cgroup / "cgroup.procs").read_text(), "the process in its cgroup")
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not (cgroup / "cgroup.procs").read_text(), "the end of its processes")
        for path in made:
            path.rmdir()
