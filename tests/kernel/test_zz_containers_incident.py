"""The seed's incident as it is written there, in real containers, explained by their names."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from incident import HOST_ADDRESS, PORT

from tests.kernel.engines.container import Container
from tests.kernel.engines.containerd import Ctr
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.live import Json, Live, run, wait_for
from tests.kernel.net import ip


@dataclass(frozen=True)
class Case:
    """An engine, what its container is called here, and what the output says of it."""

    engine: str
    fixture: str
    name: str
    image: str | None
    bridge: str
    """The host's address on the engine's network, and the container's there."""
    address: str
    options: tuple[str, ...] = ()


CASES = (
    Case("docker", "docker", "web", "alpine:test", "172.17.0.1", "172.17.0.2"),
    Case("podman", "podman", "store", "localhost/alpine:test", "10.88.0.1", "10.88.0.2"),
    Case("containerd", "ctr", "task", None, "10.22.0.1", "10.22.0.2",
         options=("--with-ns=network:/run/netns/for-task",)),
)  # fmt: skip


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A trace of the three containers, started before any of them is there."""
    wanted = [word for case in CASES for word in ("-c", case.name)]
    trace = Live(tmp_path_factory.mktemp("traced"), *wanted, "--wait")
    yield trace
    trace.stop()


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
        wait_for(lambda: f":{PORT}" in sockets(), "the server's socket")
        yield process
        process.kill()


def sockets() -> str:
    """The host's UDP sockets."""
    return subprocess.check_output(["ss", "-H", "-u", "-a", "-n"], text=True)


def play(case: Case, engine: DockerLike | Ctr, traced: Live) -> tuple[Json, Json, Json]:
    """Both runs of the incident, each with a container of that name; what was said of them."""
    client = ("nc", "-u", HOST_ADDRESS, str(PORT))
    ties = f"{case.bridge}:{PORT}"
    with server():
        container, terminal = engine.run_on_terminal(case.name, *client, options=case.options)
        terminal.type("one")
        wait_for(lambda: ties in sockets(), "the server's connect()")
        terminal.type("two")
        second = traced.incident(src=case.address, cause="local-address")
        told_of(traced, case, container)
        container.remove()
    with server() as answering:
        container, terminal = engine.run_on_terminal(case.name, *client, options=case.options)
        terminal.type("one")
        wait_for(lambda: ties in sockets(), "the server's connect()")
        assert answering.stdin is not None
        answering.stdin.write(b"answer\n")
        reply = traced.incident(sport=PORT, src=case.bridge)
        wait_for(lambda: answering.poll() is not None, "the server's end, told ECONNREFUSED")
        terminal.type("two")
        late = traced.incident(src=case.address, cause="closed")
        told_of(traced, case, container)
        container.remove()
    return second, reply, late


def told_of(traced: Live, case: Case, container: Container) -> None:
    """Wait for the lines of a container's start and end."""
    who = f"({case.engine} {container.id[:12]})"
    for word in ("started", "ended"):
        line = f"udptrace: container {case.name} {word} {who}"
        wait_for(partial(said, traced, line), line)


def said(traced: Live, line: str) -> bool:
    """Whether a line is among what the trace told of."""
    return line in traced.stderr().splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.engine)
def test_the_seeds_incident_in_a_container(
    case: Case, traced: Live, network_for_task: None, request: pytest.FixtureRequest
) -> None:
    second, reply, late = play(case, request.getfixturevalue(case.fixture), traced)
    for incident in (second, late):
        assert incident["netns"]["name"] == "host"
        assert incident["netns"]["container"] is None
        assert named(incident["origin"], case)
    assert reply["cause"] == "remote-address"
    assert named(reply["socket"], case)
    assert reply["netns"] == reply["socket"]["netns"]


def named(socket: Json, case: Case) -> bool:
    """Whether a socket's namespace and process have the container's name."""
    container = socket["netns"]["container"]
    assert container is not None, socket
    assert (container["engine"], container["name"]) == (case.engine, case.name)
    assert container["image"] == case.image
    assert [process["container"] for process in socket["processes"]] == [case.name], socket
    return True


def test_a_replay_takes_containers_and_prints_the_same_bytes(traced: Live) -> None:
    printed = traced.stop().decode()
    again = run("replay", "-f", "json", str(traced.recording))
    assert again.stdout == printed, again.stderr
    web = run("replay", "-f", "json", "-c", "web", str(traced.recording))
    assert '"dst": "172.17.0.2"' in web.stdout
    assert '"10.88.0.' not in web.stdout
