"""One traced session shared by all scenarios: each start costs many seconds under emulation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))

from tests.kernel.engines.fixtures import (  # noqa: F401 - fixtures
    containerd_daemon,
    ctr,
    docker,
    docker_daemon,
    followed,
    image,
    podman,
    rootless,
    steady,
)
from tests.kernel.live import Live, check_replays
from tests.kernel.net import Namespace


@pytest.fixture(scope="session", autouse=True)
def _root_in_a_vm() -> None:
    if os.geteuid() != 0 or not Path("/sys/bus/event_source/devices/kprobe").exists():
        pytest.fail("kernel tests need root and a kernel with kprobes: run scripts/test")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The shared trace of the whole machine."""
    trace = Live(tmp_path_factory.mktemp("live"))
    yield trace
    trace.stop()
    check_replays()


@pytest.fixture(autouse=True)
def _replay_equals_live() -> Iterator[None]:
    """Whatever a test has traced to its end is replayed, and has to print the same."""
    yield
    check_replays()


@pytest.fixture
def box() -> Iterator[Namespace]:
    """A network namespace of this test's own, loopback up."""
    with Namespace("box") as namespace:
        yield namespace
