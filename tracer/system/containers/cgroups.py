"""Which container a cgroup belongs to, by the name that its engine gave it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# "docker-ID.scope", "libpod-ID", "cri-containerd-ID.scope", "...:cri-containerd:ID", plain "ID".
_NAMED = re.compile(r"(?:(?P<engine>.*?)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")

_ENGINES = {
    "docker": "docker",
    "libpod": "podman",
    "libpod-payload": "podman",
    "crio": "cri-o",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
}

# The engine's own process beside a container, which is not in it.
_MONITORS = ("libpod-conmon", "crio-conmon")


@dataclass(frozen=True)
class Mark:
    """A container that a cgroup's name may mean: ``scope`` is the component above."""

    id: str
    engine: str
    """What the name says of the engine. Empty: it may be any name, unless an engine knows it."""
    scope: str
    path: str
    """The cgroup's, up to that name."""


def paths(text: bytes) -> list[str]:
    """The cgroups of a /proc/PID/cgroup, the unified hierarchy's first, each once (cgroups(7))."""
    found: dict[str, None] = {}
    for line in sorted(text.splitlines(), key=lambda line: not line.startswith(b"0::")):
        _, _, rest = line.partition(b":")
        _, _, path = rest.partition(b":")
        found[path.decode("utf-8", "backslashreplace")] = None
    return list(found)


def marks(path: str) -> Iterator[Mark]:
    """What the components of a path may name, the outermost first: what is below a container's
    cgroup is named by whom it holds."""
    parts = path.split("/")
    for at in range(1, len(parts)):
        part, above, upto = parts[at], parts[at - 1], "/".join(parts[: at + 1])
        match = _NAMED.fullmatch(part)
        if match is None:
            yield Mark(part, "", above, upto)
        elif match["engine"] not in _MONITORS:
            # The last words of a unit's name: "kubepods-besteffort-pod1:cri-containerd:ID".
            prefix = (match["engine"] or "").rpartition(":")[2]
            engine = _ENGINES.get(prefix, "docker" if above == "docker" else "")
            yield Mark(match["id"], engine, above, upto)
