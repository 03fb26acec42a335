"""The engines as fixtures: each is started once, by the first test that needs it.

They run until the end of the session, and some of their containers send: what counts every event
of the machine comes before them (conftest.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.engines import podman as podmans
from tests.kernel.engines.commands import Daemon
from tests.kernel.engines.container import Container
from tests.kernel.engines.containerd import Ctr, containerd
from tests.kernel.engines.docker import docker as docker_engine
from tests.kernel.engines.docker import dockerd
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.engines.image import NC, archive
from tests.kernel.live import Live

FOLLOWED = ("web", "store", "task", "early")
"""What -c asks the shared trace for: the seed's container of three engines, and one more."""

STEADY_PORT = 4632


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's archive, which any user may read."""
    directory = tmp_path_factory.mktemp("image")
    for above in (directory, *list(directory.parents)[:2]):
        above.chmod(0o755)
    return archive(directory / "image.tar")


@pytest.fixture(scope="session")
def containerd_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """containerd."""
    with containerd(tmp_path_factory.mktemp("containerd")) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def docker_daemon(
    containerd_daemon: Daemon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """dockerd."""
    with dockerd(tmp_path_factory.mktemp("docker")) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def docker(docker_daemon: Daemon, image: Path) -> Iterator[DockerLike]:
    """Docker with the image."""
    with docker_engine() as engine:
        engine.load(image)
        yield engine


@pytest.fixture(scope="session")
def podman(image: Path) -> Iterator[DockerLike]:
    """Root's podman with the image."""
    with podmans.podman() as engine:
        engine.load(image)
        yield engine


@pytest.fixture(scope="session")
def rootless(image: Path) -> Iterator[DockerLike]:
    """A user's podman with the image."""
    with podmans.user() as uid, podmans.rootless(uid) as engine:
        engine.load(image)
        yield engine


@pytest.fixture(scope="session")
def ctr(containerd_daemon: Daemon, image: Path) -> Iterator[Ctr]:
    """ctr with the image."""
    with Ctr() as engine:
        engine.load(image)
        yield engine


@pytest.fixture(scope="session")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A trace of containers by their names, started before any of them is there."""
    wanted = [word for name in FOLLOWED for word in ("-c", name)]
    trace = Live(tmp_path_factory.mktemp("followed"), *wanted, "--wait")
    yield trace
    trace.stop()


@pytest.fixture(scope="session")
def steady(docker: DockerLike) -> Container:
    """A container of docker's that sends to nobody now and then."""
    loop = f"while :; do echo x | {NC} -u 127.0.0.1 {STEADY_PORT}; sleep 3; done"
    return docker.run("steady", "sh", "-c", loop)
