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

# Neither the shared trace nor an engine runs yet: every event of the machine is counted, and what
# thousands of random cases stream is more than an emulated machine can follow beside them.
FIRST = (
    "test_loss.py",
    "test_storm.py",
    "test_matcher.py",
    "test_matcher_vrf.py",
    "test_walk_budget.py",
)

# Traces of their own, then the engines, whose containers go on sending. The recording ends the
# shared trace, and a kernel that is locked down forbids every other.
LAST = (
    "test_all_icmp.py",
    "test_direction.py",
    "test_faults.py",
    "test_flight.py",
    "test_package.py",
    "test_states.py",
    "test_top.py",
    "test_containers_follow.py",
    "test_containers_incident.py",
    "test_containers_names.py",
    "test_privileges_podman.py",
    "test_containers_replay.py",
    "test_recording.py",
    "test_lockdown.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in alphabetical order, but for those which others must precede or follow."""
    here = Path(__file__).parent
    assert all((here / name).exists() for name in FIRST + LAST)

    def turn(item: pytest.Item) -> int:
        name = item.path.name
        if item.path.parent != here:
            return 0
        return -1 if name in FIRST else 1 + LAST.index(name) if name in LAST else 0

    items.sort(key=turn)


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
