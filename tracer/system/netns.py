"""Every network namespace of the machine, and a way to run a function inside one.

A namespace has no list of its own: it is found through the processes that are in it and through
the files it is mounted on (`ip netns`, docker). One that only a file descriptor holds is not found.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from tracer.libc import checked
from tracer.system.initial import is_initial
from tracer.text import clean

T = TypeVar("T")

# How old a list of the namespaces may be, and how old when a new one is not in it.
_STALE_NS = 1_000_000_000
_NEW_NS = 100_000_000

HOST = "host"
"""The name of the initial network namespace."""

# /run is /var/run on most systems; a directory listed twice finds nothing new. From inside a
# container that has the machine's processes, process 1 leads to the machine's directories.
NAMED_DIRECTORIES = ("/run/netns", "/var/run/netns", "/proc/1/root/run/netns")
OTHER_DIRECTORIES = (
    "/run/docker/netns",
    "/var/run/docker/netns",
    "/proc/1/root/run/docker/netns",
)

# NET_NS_INIT_INO of include/uapi/linux/nsfs.h. Kernels without this fixed number hand out larger
# ones, counting from 0xF0000000, so that it can never mean another namespace.
_INIT_INUM = 0xEFFFFFF9

_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71


@dataclass(frozen=True)
class Netns:
    """A network namespace: its inode number, its name if it has one, a path that opens it.

    ``pid`` is a process that is in it, if one was found.
    """

    inum: int
    name: str | None
    path: str
    pid: int | None = field(default=None, compare=False)


class Forbidden(PermissionError):
    """A network namespace may not be entered: that needs CAP_SYS_ADMIN."""


def list_netns() -> dict[int, Netns]:
    """All network namespaces that can be found, by inode number. Never raises OSError.

    The name is "host" for the initial one, else the `ip netns` name, else None.
    """
    paths: dict[int, str] = {}
    names: dict[int, str] = {}
    pids: dict[int, int] = {}
    for path in _mounted(NAMED_DIRECTORIES):
        inum = netns_inum(path)
        if inum is not None:
            paths.setdefault(inum, path)
            names.setdefault(inum, _name(path))
    for path in (*_mounted(OTHER_DIRECTORIES), "/proc/self/ns/net"):
        inum = netns_inum(path)
        if inum is not None:
            paths.setdefault(inum, path)
    for pid, path in _of_processes():
        inum = netns_inum(path)
        if inum is not None:
            paths.setdefault(inum, path)
            pids.setdefault(inum, pid)
    initial = initial_inum(paths)
    if initial is not None:
        names[initial] = HOST
    return {i: Netns(i, names.get(i), path, pids.get(i)) for i, path in paths.items()}


def initial_inum(known: Iterable[int]) -> int | None:
    """The initial network namespace's inode number; None if it cannot be told.

    Newer kernels fix the number. Elsewhere it is process 1's, but for a container's process 1;
    which is not right on a machine whose init was put into another network namespace.
    """
    if _INIT_INUM in known:
        return _INIT_INUM
    return None if is_initial("pid") is False else netns_inum("/proc/1/ns/net")


def netns_names() -> list[str]:
    """The `ip netns` names, looked at neither twice nor closely."""
    return [os.path.basename(path) for path in _mounted(NAMED_DIRECTORIES)]


def netns_inum(path: str) -> int | None:
    """The inode number of the namespace a path leads to; None if it is none or gone."""
    try:
        status = os.stat(path)
        # Left-over files of namespaces are ordinary files of /run: nsfs tells them apart.
        if status.st_dev == os.stat("/proc/self/ns/net").st_dev:
            return status.st_ino
    except OSError:
        pass
    return None


def is_named(inum: int, name: str) -> bool:
    """Whether the name `list_netns` gave a namespace leads to it still."""
    if name == HOST:
        return initial_inum((inum,)) == inum
    return any(netns_inum(f"{directory}/{name}") == inum for directory in NAMED_DIRECTORIES)


def _mounted(directories: Iterable[str]) -> Iterator[str]:
    for directory in directories:
        with suppress(OSError):
            for name in sorted(os.listdir(directory)):
                yield f"{directory}/{name}"


def _name(path: str) -> str:
    return clean(os.path.basename(path))


def _of_processes() -> Iterator[tuple[int, str]]:
    """The processes, with the path of each one's namespace."""
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                yield int(name), f"/proc/{name}/ns/net"


def find_netns(inum: int, hint_pids: Iterable[int] = ()) -> Netns | None:
    """One namespace, tried first through processes that were seen in it; None if not found."""
    for pid in hint_pids:
        path = f"/proc/{pid}/ns/net"
        if netns_inum(path) == inum:
            named = next((p for p in _mounted(NAMED_DIRECTORIES) if netns_inum(p) == inum), None)
            initial = initial_inum((inum,)) == inum
            name = HOST if initial else _name(named) if named else None
            return Netns(inum, name, path, pid)
    return list_netns().get(inum)


def in_netns(netns: Netns, function: Callable[[], T]) -> T:
    """The result of the function, run inside the namespace.

    It runs in a thread of its own, which ends afterwards: no other thread ever changes its
    namespace, so a failure cannot leave one in the wrong place. Raises what the function raises,
    Forbidden when the namespace may not be entered, and OSError when it is gone or no thread can
    be started.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def enter_and_run() -> None:
        try:
            _enter(netns)
            result.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter_and_run, name=f"netns-{netns.inum}")
    try:
        thread.start()
    except RuntimeError as error:  # a limit to tasks, or to memory
        raise OSError(errno.EAGAIN, str(error)) from None
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


class Doors:
    """Ways into the namespaces, kept: to list them all is to look at every process."""

    def __init__(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = now
        self._listed: int | None = None
        self._known: dict[int, Netns] = {}

    def namespaces(self) -> tuple[int, ...]:
        """The inode numbers of those there were at most a second ago."""
        self._list(_STALE_NS)
        return tuple(self._known)

    def enter(self, inum: int, function: Callable[[], T]) -> T:
        """The result of a function that is run inside a namespace (`in_netns`).

        Raises LookupError for a namespace that cannot be found or entered, and what the function
        raises, which must not be OSError.
        """
        for age_ns in (None, _NEW_NS):
            if age_ns is not None and not self._list(age_ns):
                break
            try:
                return in_netns(self._known[inum], function)
            except Forbidden:
                break  # looking for it again would not help
            except (KeyError, OSError):
                # New, or the process it was found through is gone, or its number is another's.
                self._known.pop(inum, None)
        raise LookupError(inum)

    def _list(self, age_ns: int) -> bool:
        """Look again, unless that was done within this time; returns whether it did."""
        now = self._now()
        if self._listed is not None and now - self._listed < age_ns:
            return False
        self._listed, self._known = now, list_netns()
        return True


def _enter(netns: Netns) -> None:
    """Move the calling thread, unless it is there already. Raises OSError."""
    try:
        fd = os.open(netns.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_ino != netns.inum:  # the process is gone and its number reused
                raise FileNotFoundError(2, "the network namespace is gone")
            if netns_inum("/proc/thread-self/ns/net") != netns.inum:
                _setns(fd)
        finally:
            os.close(fd)
    except PermissionError as error:
        raise Forbidden(error.errno, error.strerror) from None


def _setns(fd: int) -> None:
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(fd, _CLONE_NEWNET)
        return
    checked(ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET))


def netns_cookie() -> int:
    """The kernel's cookie of the thread's network namespace; 0 before Linux 5.14.

    A netlink socket asks, because making an IP socket would itself be traced.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as channel:
        try:
            raw = channel.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return 0
    (cookie,) = struct.unpack("=Q", raw)
    return int(cookie)
