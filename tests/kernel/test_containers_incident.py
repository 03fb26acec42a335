"""The seed's incident as it is written there, in real containers, explained by their names."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from incident import HOST_ADDRESS, PORT

from tests.kernel.engines.commands import Terminal
from tests.kernel.engines.container import Container
from tests.kernel.engines.containerd import FULL_IMAGE, Ctr
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.live import Json, Live, wait_for
from tests.kernel.net import ip


@dataclass(frozen=True)
class Case:
    """An engine, what its container is called here, and what the output says of it."""

    engine: str
    fixture: str
    name: str
    image: str
    bridge: str
    """The host's address on the engine's network."""
    options: tuple[str, ...] = ()


CASES = (
    Case("docker", "docker", "web", "alpine:test", "172.17.0.1"),
    Case("podman", "podman", "store", "localhost/alpine:test", "10.88.0.1"),
    Case("containerd", "ctr", "task", FULL_IMAGE, "10.22.0.1",
         options=("--with-ns=network:/run/netns/for-task",)),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def host_address() -> Iterator[None]:
    """The host's other address, on an interface of its own."""
    ip("link", "add", "seed0", "type", "dummy")
    ip("address", "add", f"{HOST_ADDRESS}/24", "dev", "seed0")
    ip("link", "set", "seed0", "up")
    yield
    ip("link", "delete", "seed0")


@pytest.fixture(scope="module")
def network_for_task() -> Iterator[None]:
    """What a CNI plugin would make: ctr gives its containers a network namespace and no more."""
    ip("netns", "add", "for-task")
    ip("link", "add", "task0", "type", "bridge")
    ip("address", "add", "10.22.0.1/16", "dev", "task0")
    ip("link", "set", "task0", "up")
    ip("link", "add", "task1", "type", "veth", "peer", "name", "eth0", "netns", "for-task")
    ip("link", "set", "task1", "master", "task0", "up")
    ip("-n", "for-task", "address", "add", "10.22.0.2/16", "dev", "eth0")
    ip("-n", "for-task", "link", "set", "eth0", "up")
    ip("-n", "for-task", "route", "add", "default", "via", "10.22.0.1")
    yield
    ip("link", "delete", "task0")
    ip("netns", "delete", "for-task")


@contextlib.contextmanager
def server() -> Iterator[subprocess.Popen[bytes]]:
    """``nc -ul 56789`` on the host, with a pipe for what is typed there."""
    command = ["nc.openbsd", "-u", "-l", str(PORT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) as process:
        try:
            wait_for(lambda: f":{PORT}" in sockets(), "the server's socket")
            yield process
        finally:
            process.kill()


def sockets() -> str:
    """The host's UDP sockets."""
    return subprocess.check_output(["ss", "-H", "-u", "-a", "-n"], text=True)


@contextlib.contextmanager
def client(case: Case, engine: DockerLike | Ctr) -> Iterator[tuple[Container, Terminal, int]]:
    """``nc -u HOST 56789`` in a container, whose first datagram had the server call connect();
    with its port."""
    nc = ("nc", "-u", HOST_ADDRESS, str(PORT))
    container, terminal = engine.run_on_terminal(case.name, *nc, options=case.options)
    terminal.type("one")
    wait_for(lambda: peer(case), "the server's connect()")
    yield container, terminal, peer(case)
    container.remove()


def peer(case: Case) -> int:
    """The port that the host's server is connected to; 0 while it is not."""
    found = re.search(rf"{re.escape(case.bridge)}:{PORT} +[0-9.]+:(\d+)", sockets())
    return int(found[1]) if found else 0


def run_a(case: Case, engine: DockerLike | Ctr, followed: Live) -> tuple[str, Json]:
    """The client sends twice: the container's id, and what was said of its second datagram."""
    with server(), client(case, engine) as (container, terminal, port):
        terminal.type("two")
        return container.id, followed.incident(sport=port, cause="local-address")


def run_b(case: Case, engine: DockerLike | Ctr, followed: Live) -> tuple[str, Json, Json]:
    """The server answers, and the client sends after that: as above, of both datagrams."""
    with server() as answering, client(case, engine) as (container, terminal, port):
        assert answering.stdin is not None
        answering.stdin.write(b"answer\n")
        reply = followed.incident(dport=port)
        wait_for(lambda: answering.poll() is not None, "the server's end, told ECONNREFUSED")
        terminal.type("two")
        return container.id, reply, followed.incident(sport=port, cause="closed")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.engine)
def test_the_seeds_incident_in_a_container(
    case: Case, followed: Live, network_for_task: None, request: pytest.FixtureRequest
) -> None:
    engine = request.getfixturevalue(case.fixture)
    first, second = run_a(case, engine, followed)
    other, reply, late = run_b(case, engine, followed)
    for incident in (second, late):
        assert incident["netns"]["name"] == "host"
        assert incident["netns"]["container"] is None
        assert named(incident["origin"], case)
    assert reply["cause"] == "remote-address"
    assert named(reply["socket"], case)
    assert reply["netns"] == reply["socket"]["netns"]
    lives = [(state, each) for each in (first, other) for state in ("started", "ended")]
    wait_for(lambda: followed.lives(case.name) == lives, lambda: f"{followed.lives(case.name)}")


def named(socket: Json, case: Case) -> bool:
    """Whether a socket's namespace and process have the container's name."""
    container = socket["netns"]["container"]
    assert container is not None, socket
    assert (container["engine"], container["name"]) == (case.engine, case.name)
    assert container["image"] == case.image
    assert [process["container"] for process in socket["processes"]] == [case.name], socket
    return True
