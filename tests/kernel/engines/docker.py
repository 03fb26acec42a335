"""Docker as on a Debian machine: dockerd with the system's containerd, and its default bridge."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.engines.commands import Daemon, call
from tests.kernel.engines.containerd import SOCKET as CONTAINERD
from tests.kernel.engines.containerd import listening
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.live import wait_for

SOCKET = "/run/docker.sock"
BRIDGE = "docker0"


@contextlib.contextmanager
def dockerd(directory: Path) -> Iterator[Daemon]:
    """The daemon, with a containerd that runs already; its log is kept in the directory.

    At its end the bridge and every rule of the host's namespace are taken away.
    """
    command = ["dockerd", f"--containerd={CONTAINERD}", "--log-level=warn"]
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    before = forwarding.read_text()
    daemon = Daemon(command, directory / "dockerd.log")
    try:
        wait_for(lambda: daemon.alive() and listening(SOCKET), "dockerd")
        yield daemon
    finally:
        daemon.close()
        call("nft", "flush", "ruleset")
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False)
        forwarding.write_text(before)


def docker() -> DockerLike:
    """Containers of the daemon that runs."""
    return DockerLike("docker")
