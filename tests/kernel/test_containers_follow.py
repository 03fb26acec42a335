"""-c: what a word means, and containers that start, end, come back, or whose engine is stuck."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter

import pytest

from tests.kernel.engines.commands import Daemon
from tests.kernel.engines.container import Container
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.engines.image import NC
from tests.kernel.live import Live, run, wait_for
from tests.kernel.test_failures import one_line
from tracer.system.netns import Netns, in_netns

FIRST = 4631
DELIVERED = 4633
CHECKED = 4635
DATAGRAMS = 10_000
MISS_COSTS = 50
"""More events than one miss and the look-ups after it are."""

# Kinds of evidence that come with time, not with datagrams.
OF_TIME = ("tick", "clock", "counters")


@pytest.fixture(scope="module")
def early(followed: Live, docker: DockerLike) -> Container:
    """The container: it sends at once, to a port that nobody holds, each time it starts."""
    return docker.run("early", "sh", "-c", f"echo x | {NC} -u 127.0.0.1 {FIRST}; sleep 1000000")


def lives(followed: Live, early: Container, *states: str) -> None:
    """Wait until just this has been told of the container's starts and ends."""
    expected = [(state, early.id) for state in states]
    wait_for(lambda: followed.lives("early") == expected, lambda: f"{followed.lives('early')}")


def test_the_first_datagram_after_its_start_is_traced(followed: Live, early: Container) -> None:
    incident = followed.incident(dport=FIRST)
    assert incident["netns"]["container"]["name"] == "early"
    assert "udptrace: waiting for container early to start" in followed.stderr()
    lives(followed, early, "started")


def test_a_restarted_container_is_followed(followed: Live, early: Container) -> None:
    """Into its new namespace, which has the number of the old one as a rule."""
    early.restart()
    wait_for(lambda: len(followed.incidents(dport=FIRST)) == 2, "the second life's incident")
    lives(followed, early, "started", "ended", "started")


def test_the_trace_goes_on_when_the_container_has_ended(followed: Live, early: Container) -> None:
    early.stop()
    lives(followed, early, "started", "ended", "started", "ended")
    assert followed.process.poll() is None


def test_a_stopped_container_is_said_to_be_stopped(early: Container) -> None:
    assert early.pid == 0
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
    steady: Container, podman: DockerLike
) -> None:
    twin = podman.run("steady")
    line = one_line(run("live", "-c", "steady"), code=2)
    twin.remove()
    assert f"steady (docker {steady.id[:12]}, running)" in line
    assert f"steady (podman {twin.id[:12]}, running)" in line


def test_a_name_that_begins_alike_is_another(steady: Container) -> None:
    assert "no container of this name" in one_line(run("live", "-c", "stead"), code=2)


def test_check_looks_into_a_container(steady: Container) -> None:
    """What is taken there is looked up there; the host is another place."""
    question = ("127.0.0.1:9", f"127.0.0.1:{CHECKED}")
    with udp_of(steady) as server, udp_of(steady) as sender:
        server.bind(("127.0.0.1", CHECKED))
        sender.sendto(b"x", server.getsockname())
        assert server.recv(16) == b"x"
        inside = run("check", "-c", "steady", *question)
        outside = run("check", "-N", "host", *question)
    assert inside.returncode == 0, inside.stderr
    assert "container steady (docker, alpine:test), over lo" in inside.stdout
    assert outside.returncode == 3
    assert "in container steady would have taken it" in " ".join(outside.stdout.split())


def test_a_stuck_daemon_and_no_command(docker_daemon: Daemon, steady: Container) -> None:
    """The names come from the engine's files."""
    environment = {**os.environ, "PATH": "/usr/local/bin"}
    docker_daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = run("live", "-f", "json", "-c", "steady", "--count", "1", env=environment)
    finally:
        docker_daemon.process.send_signal(signal.SIGCONT)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    target = next(line for line in told if line["kind"] == "target")
    assert (target["state"], target["container"]["id"]) == ("started", steady.id)
    incident = next(line for line in told if line["kind"] == "incident")
    named = incident["netns"]["container"]
    assert (named["name"], named["image"]) == ("steady", "alpine:test")


def test_delivered_datagrams_cost_no_event(
    followed: Live, docker: DockerLike, steady: Container
) -> None:
    """Neither within a container nor from the host to it: the evidence does not grow by them."""
    docker.call("pause", steady.name)  # its own misses are events
    network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = docker.call("container", "inspect", "-f", network, steady.name)
    with udp_of(steady) as server, udp_of(steady) as within, udp() as across:
        server.bind(("0.0.0.0", DELIVERED))
        within.connect(("127.0.0.1", DELIVERED))
        across.connect((address, DELIVERED))
        before = evidence(followed, until=4641)
        for sender in (within, across):
            for _ in range(DATAGRAMS // 2):
                sender.send(b"x")
                assert server.recv(16) == b"x"
        more = evidence(followed, until=4642) - before
    docker.call("unpause", steady.name)
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
