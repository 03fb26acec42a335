"""Podman: of root, and of a user without root."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.engines.commands import call
from tests.kernel.engines.docker_like import DockerLike

USER = "dev"


def podman() -> DockerLike:
    """Containers of root's podman, on the network that netavark makes."""
    return DockerLike("podman")


@contextlib.contextmanager
def user() -> Iterator[int]:
    """A user who may run containers, with what logind and udev would have prepared; its uid."""
    call("useradd", "--create-home", "--shell", "/bin/sh", USER)
    uid = int(call("id", "-u", USER))
    runtime = Path(f"/run/user/{uid}")
    runtime.mkdir(parents=True, mode=0o755)
    os.chown(runtime, uid, uid)
    runtime.chmod(0o700)
    call("modprobe", "tun")
    os.chmod("/dev/net/tun", stat.S_IFCHR | 0o666)
    try:
        yield uid
    finally:
        # A pause process keeps the user's namespaces open; nothing else of his is left.
        subprocess.run(["pkill", "-KILL", "-u", str(uid)], check=False)
        shutil.rmtree(runtime)
        call("userdel", "--remove", USER)


def rootless(uid: int) -> DockerLike:
    """Containers of that user's podman."""
    environment = ("env", "-i", "PATH=/usr/bin:/usr/sbin", f"HOME=/home/{USER}",
                   f"XDG_RUNTIME_DIR=/run/user/{uid}")  # fmt: skip
    return DockerLike("runuser", "-u", USER, "--", *environment, "podman")
