"""What -N, -p and -c mean: the words of the command line -> network namespaces."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass

from tracer.errors import UsageError
from tracer.events import TargetChange
from tracer.system.netns import HOST, NAMED_DIRECTORIES, Netns, list_netns, netns_inum
from tracer.targets import ALL
from tracer.text import clean

_NS_GET_NSTYPE = 0xB703  # include/uapi/linux/nsfs.h
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Targets:
    """The namespaces asked for, and how the user said each; ``containers``: the words of -c, whose
    namespaces change. All empty: every namespace."""

    inums: tuple[int, ...]
    names: tuple[str, ...]
    containers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.inums or self.containers)


class OnlyTargets:
    """Which namespaces' misses alone are wanted, as containers come and go."""

    def __init__(self, targets: Targets) -> None:
        self._fixed = targets.inums
        self._running: dict[str, list[int]] = {spec: [] for spec in targets.containers}

    def take(self, change: TargetChange) -> None:
        """A container has started or ended."""
        running = self._running[change.spec]
        if change.state == "started":
            running.append(change.inum)
        elif change.inum in running:
            running.remove(change.inum)

    @property
    def wanted(self) -> tuple[int, ...] | None:
        """Inode numbers; None, every one, while a container is waited for: it may begin in any."""
        if not all(self._running.values()):
            return None
        followed = (inum for running in self._running.values() for inum in running)
        return (*self._fixed, *dict.fromkeys(followed))


def resolve_targets(
    netns: Iterable[str], pids: Iterable[int], containers: Iterable[str] = ()
) -> Targets:
    """The targets of -N, -p and -c on this machine. Raises UsageError with what was looked at."""
    specs, numbers, followed = tuple(netns), tuple(pids), tuple(dict.fromkeys(containers))
    if ALL in specs or not (specs or numbers or followed):
        return Targets((), ())
    known = list_netns() if specs else {}
    found = [resolve_netns(spec, known) for spec in specs] + [netns_of_pid(p) for p in numbers]
    names = (*map(clean, specs), *(f"pid {pid}" for pid in numbers))
    return Targets(tuple(found), names, followed)


def resolve_netns(spec: str, known: dict[int, Netns]) -> int:
    """The inode number of NAME, PATH, INUM or "host". Raises UsageError."""
    for netns in known.values():
        if netns.name == clean(spec):
            return netns.inum
    if spec == HOST:
        raise UsageError("-N host: the initial network namespace cannot be told: run as root")
    if "/" in spec:
        return _of_path(spec)
    if spec.isdecimal():
        if int(spec) in known:
            return int(spec)
        raise UsageError(f"-N {spec}: no network namespace with this inode number is in use")
    # A name given twice to one namespace: only its first name is listed above.
    for directory in NAMED_DIRECTORIES:
        inum = netns_inum(f"{directory}/{spec}")
        if inum is not None:
            return inum
    names = sorted(netns.name for netns in known.values() if netns.name)
    raise UsageError(
        f"-N {spec}: no network namespace of this name in {NAMED_DIRECTORIES[0]}"
        f" (there are: {', '.join(names) or 'none'})"
    )


def _of_path(path: str) -> int:
    try:
        # A named pipe must not make the command wait.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"-N {path}: {os.strerror(error.errno or 0)}") from None
    try:
        if fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET:
            return os.fstat(fd).st_ino
    except OSError:
        pass  # no namespace at all
    finally:
        os.close(fd)
    raise UsageError(f"-N {path}: not the file of a network namespace")


def netns_of_pid(pid: int) -> int:
    """The inode number of the network namespace a process is in. Raises UsageError."""
    try:
        found = os.stat(f"/proc/{pid}/ns/net")
        # Linux 5.10 shows the link itself to who may not follow it.
        if found.st_dev == os.stat("/proc/self/ns/net").st_dev:
            return found.st_ino
    except PermissionError:
        pass
    except OSError:
        raise UsageError(f"-p {pid}: there is no such process") from None
    raise UsageError(f"-p {pid}: its namespaces may not be read: run as root")
