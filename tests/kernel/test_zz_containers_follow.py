"""-c: what a word means, and containers that start, end, come back, or whose engine is stuck."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kernel.engines.commands import Daemon
from tests.kernel.engines.container import Container
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.live import Live, run, wait_for
from tests.kernel.test_failures import one_line
from tracer.system.netns import Netns, in_netns

FIRST = 4631
STEADY = 4632
DELIVERED = 4633
DATAGRAMS = 10_000
MISS_COSTS = 50
"""More events than one miss and the look-ups after it are."""

# Kinds of evidence that come with time, not with datagrams.
OF_TIME = ("tick", "clock", "counters")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A trace of a container that is not there yet."""
    trace = Live(tmp_path_factory.mktemp("followed"), "-c", "early", "--wait")
    yield trace
    trace.stop()


@pytest.fixture(scope="module")
def early(followed: Live, docker: DockerLike) -> Container:
    """The container: it sends at once, to a port that nobody holds, each time it starts."""
    return docker.run("early", "sh", "-c", f"echo x | nc -u 127.0.0.1 {FIRST}; sleep 1000000")


@pytest.fixture(scope="module")
def steady(docker: DockerLike) -> Container:
    """A container that sends to nobody once a second."""
    loop = f"while :; do echo x | nc -u 127.0.0.1 {STEADY}; sleep 1; done"
    return docker.run("steady", "sh", "-c", loop)


def say(trace: Live, *lines: str) -> None:
    """Wait until the trace has told these lines on standard error, in this order."""

    def said() -> bool:
        found = iter(trace.stderr().splitlines())
        return all(f"udptrace: {line}" in found for line in lines)

    wait_for(said, lambda: f"{lines}: {trace.stderr()}")


def test_the_first_datagram_after_its_start_is_traced(followed: Live, early: Container) -> None:
    incident = followed.incident(dport=FIRST)
    assert incident["netns"]["container"]["name"] == "early"
    say(followed, "waiting for container early to start",
        f"container early started (docker {early.id[:12]})")  # fmt: skip


def test_a_restarted_container_is_followed(followed: Live, early: Container) -> None:
    """Into its new namespace, which has the number of the old one as a rule."""
    before = len(followed.incidents(dport=FIRST))
    early.restart()
    wait_for(lambda: len(followed.incidents(dport=FIRST)) > before, "the second life's incident")
    who = f"(docker {early.id[:12]})"
    say(followed, *(f"container early {word} {who}" for word in ("started", "ended", "started")))


def test_the_trace_goes_on_when_the_container_has_ended(followed: Live, early: Container) -> None:
    early.stop()
    who = f"(docker {early.id[:12]})"
    say(followed, *(f"container early {word} {who}" for word in 2 * ("started", "ended")))
    assert followed.process.poll() is None


def test_a_stopped_container_is_said_to_be_stopped(early: Container) -> None:
    early.stop()
    line = one_line(run("live", "-c", "early"), code=2)
    assert f"the container early (docker {early.id[:12]}) is stopped" in line
    assert f"docker start {early.id[:12]}" in line
    assert "--wait" in line


def test_an_unknown_container_says_where_it_was_looked_for(docker: DockerLike) -> None:
    line = one_line(run("live", "-c", "nobody"), code=2)
    assert "no container of this name" in line
    for place in ("/var/lib/docker/containers", "/run/containerd/io.containerd.runtime.v2.task"):
        assert place in line


def test_two_engines_containers_of_one_name_are_both_listed(
    docker: DockerLike, podman: DockerLike
) -> None:
    twins = {"docker": docker.run("twin"), "podman": podman.run("twin")}
    line = one_line(run("live", "-c", "twin"), code=2)
    for engine, twin in twins.items():
        assert f"twin ({engine} {twin.id[:12]}, running)" in line


def test_a_name_that_begins_alike_is_another(docker: DockerLike, steady: Container) -> None:
    assert "no container of this name" in one_line(run("live", "-c", "stead"), code=2)


def test_a_stuck_daemon_and_no_command(docker_daemon: Daemon, steady: Container) -> None:
    """The names come from the engine's files."""
    environment = {**os.environ, "PATH": "/usr/local/bin"}
    docker_daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = run("live", "-f", "json", "-c", "steady", "--count", "1", env=environment)
    finally:
        docker_daemon.process.send_signal(signal.SIGCONT)
    assert done.returncode == 0, done.stderr
    assert f"udptrace: container steady started (docker {steady.id[:12]})" in done.stderr
    incidents = [line for line in done.stdout.splitlines() if '"incident"' in line]
    named = json.loads(incidents[-1])["netns"]["container"]
    assert (named["name"], named["image"]) == ("steady", "alpine:test")


def test_delivered_datagrams_cost_no_event(followed: Live, docker: DockerLike) -> None:
    """Neither within a container nor from the host to it: the evidence does not grow by them."""
    taker = docker.run("taker")
    network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = docker.call("container", "inspect", "-f", network, taker.name)
    with udp_of(taker) as server, udp_of(taker) as within, udp() as across:
        server.bind(("0.0.0.0", DELIVERED))
        within.connect(("127.0.0.1", DELIVERED))
        across.connect((address, DELIVERED))
        before = evidence(followed, until=4641)
        for sender in (within, across):
            for _ in range(DATAGRAMS // 2):
                sender.send(b"x")
                assert server.recv(16) == b"x"
        more = evidence(followed, until=4642) - before
    assert more["miss"] == 1
    assert more.total() < MISS_COSTS, more


def udp() -> socket.socket:
    """A UDP socket."""
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def udp_of(container: Container) -> socket.socket:
    """A UDP socket in a container's network namespace."""
    return in_netns(Netns(container.netns, None, f"/proc/{container.pid}/ns/net"), udp)


def evidence(trace: Live, until: int) -> Counter[str]:
    """How many events of each kind are recorded, after a miss of this port has become one."""
    with udp() as sender:
        sender.connect(("127.0.0.1", until))
        sender.send(b"nobody")
        wait_for(lambda: f'"dport":{until}' in trace.recording.read_text(), f"port {until}")
    *whole, _ = trace.recording.read_text().split("\n")
    kinds = (json.loads(line)["kind"] for line in whole)
    return Counter(kind for kind in kinds if kind not in OF_TIME)
