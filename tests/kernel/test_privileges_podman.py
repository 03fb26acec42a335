"""udptrace inside a real container, which podman makes of this machine's own files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.live import DEADLINE_S, Live
from tests.kernel.net import Namespace
from tests.kernel.test_privileges import (
    ENOUGH,
    Peopled,
    peopled,
    upstream,
)

__all__ = ["peopled", "upstream"]  # the fixtures

PODMAN = ("podman", "run", "--rm", "--network=host", "-v", "/src:/src:ro")
# As the pods of packaging/kubernetes/daemonset.yaml.
CONFINED = ("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp",
            "--security-opt=no-new-privileges")  # fmt: skip
CAPABILITIES = ("--cap-drop=all", *(f"--cap-add={name.removeprefix('CAP_')}" for name in ENOUGH))


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This machine's files below another root, where a container may write."""
    directory = tmp_path_factory.mktemp("rootfs")
    subprocess.run(["modprobe", "overlay"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(directory)], check=True)
    parts = {name: directory / name for name in ("upper", "work", "root")}
    for part in parts.values():
        part.mkdir()
    layers = f"lowerdir=/,upperdir={parts['upper']},workdir={parts['work']}"
    overlay = ["mount", "-t", "overlay", "overlay", "-o", layers, str(parts["root"])]
    subprocess.run(overlay, check=True)
    yield str(parts["root"])
    subprocess.run(["umount", "--lazy", str(parts["root"]), str(directory)], check=True)


def test_the_profile_that_refuses_perf_is_named(rootfs: str) -> None:
    """podman's in Debian 13 refuses it without CAP_SYS_ADMIN, whatever CAP_PERFMON is for."""
    command = [*PODMAN, *CAPABILITIES, "--pid=host", "--rootfs", rootfs, "udptrace", "live"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    # Older podmans warn of the machine beside it.
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("udptrace: "))
    assert "a seccomp filter is in force" in line
    assert "--security-opt seccomp=unconfined" in line


def test_capabilities_in_a_container(rootfs: str, peopled: Peopled, tmp_path: Path) -> None:
    """With the machine's processes, all but what CAP_SYS_ADMIN is for; nothing may be written."""
    before = [*PODMAN, *CAPABILITIES, *CONFINED, "--pid=host",
              "--security-opt", "seccomp=unconfined", "--ulimit", "memlock=-1",
              "-v", f"{tmp_path}:{tmp_path}", "--rootfs", rootfs]  # fmt: skip
    with Namespace("unpeopled"):
        trace = Live(tmp_path, before=before)
    peopled.namespace.udp().sendto(b"refused", ("127.0.0.1", 7100))
    incident = trace.incident(dport=7100)
    assert incident["cause"] == "remote-port"
    # /run/netns is not in the container: process 1 leads there.
    assert incident["netns"]["name"] == peopled.namespace.name
    assert incident["socket"]["processes"][0]["pid"] == peopled.pid
    said = [line for line in trace.stderr().splitlines() if "without CAP_" in line]
    assert len(said) == 1
    assert "CAP_SYS_ADMIN" in said[0]
    trace.stop()
    assert trace.process.returncode == 0, trace.stderr()
