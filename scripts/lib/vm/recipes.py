"""What the images are made of, as data: a change here gives another hash, and so another image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

COMMON_PACKAGES = (
    # what udptrace runs on, and what tests it
    "python3", "python3-bpfcc", "python3-click", "python3-jinja2", "python3-prometheus-client",
    "python3-tabulate",
    "python3-pytest", "libbpf1",
    # the tools whose behaviour it explains, and those that make the situations
    "iproute2", "iputils-ping", "netcat-openbsd", "netcat-traditional", "ncat", "socat", "tcpdump",
    "nftables", "iptables", "conntrack", "ethtool",
    # container engines; crun, which podman takes first, and what it needs without root
    "docker.io", "podman", "containerd", "netavark", "crun", "uidmap",
    # other tracers, for comparison
    "bpfcc-tools", "bpftrace", "strace",
    # the machine
    "man-db", "mount", "procps", "psmisc", "kmod", "e2fsprogs", "libcap2-bin", "less",
    "busybox-static",
)  # fmt: skip

# A rootless podman's network is passt's pasta since 5.0, slirp4netns before.
SUITE_PACKAGES = {
    "trixie": (*COMMON_PACKAGES, "docker-cli", "passt", "pwru"),
    "bookworm": (*COMMON_PACKAGES, "slirp4netns"),
}

# Documentation and translations are a third of the files and nothing in a test reads them.
DPKG_EXCLUDES = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*",
    "/usr/share/bpftrace/tools/doc/*", "/usr/share/gcc/*", "/usr/share/gdb/*",
)  # fmt: skip

FILES = {
    "/etc/hostname": "udptrace-vm\n",
    "/etc/hosts": "127.0.0.1 localhost udptrace-vm\n::1 localhost\n",
    "/etc/resolv.conf": "",
    "/etc/machine-id": "75647074726163657564707472616365\n",
    # No systemd in the guest: podman has to manage cgroups itself, and log to files.
    "/etc/containers/containers.conf": (
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        '[containers]\nlog_driver = "k8s-file"\n'
    ),
    "/usr/local/bin/udptrace": (
        '#!/bin/sh\nPYTHONPATH=/src exec /usr/bin/python3 -m tracer "$@"\n'
    ),
}

# The parts of busybox which guest/init calls before the image is there.
APPLETS = (
    "sh", "cat", "cp", "hostname", "insmod", "ip", "ln", "mkdir", "mount", "poweroff",
    "switch_root", "tar", "uname",
)  # fmt: skip

EXECUTABLE = ("/usr/local/bin/udptrace",)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a suite's image holds."""

    suite: str
    packages: tuple[str, ...]
    excludes: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    executable: tuple[str, ...]
    applets: tuple[str, ...]
    megabytes: int
    version: int


def suite_recipe(suite: str) -> Recipe:
    """The recipe of a suite's user space."""
    return Recipe(
        suite=suite,
        packages=SUITE_PACKAGES[suite],
        excludes=DPKG_EXCLUDES,
        files=tuple(FILES.items()),
        executable=EXECUTABLE,
        applets=APPLETS,
        megabytes=6144,  # sparse: what is free costs nothing on the host
        version=2,  # to be raised when the building code changes what is built
    )


def key(recipe: object) -> str:
    """A short hash of a recipe (any dataclass): the name under which its image is cached."""
    text = json.dumps(asdict(recipe), sort_keys=True)  # type: ignore[call-overload]
    return hashlib.sha256(text.encode()).hexdigest()[:12]
