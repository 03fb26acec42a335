"""What a trace takes from the system beside the kernel's events: sockets, containers, clocks."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

from tracer.findings import Finding, degraded, ok, unknown
from tracer.kernel import symbols
from tracer.kernel.capabilities import SYSLOG, missing_capabilities
from tracer.system.initial import INIT_MOUNTS, in_container, is_initial
from tracer.system.sockets import udp_sockets
from tracer.timefmt import NS, utc_text

# A running engine's socket, or what it keeps on disk.
ENGINES = {
    "docker": ("/run/docker.sock", "/var/lib/docker"),
    "containerd": ("/run/containerd/containerd.sock", "/var/lib/containerd"),
    "podman": ("/run/podman/podman.sock", "/run/containers", "/var/lib/containers"),
    "cri-o": ("/run/crio/crio.sock", "/var/lib/crio"),
}

# What a container with its own PID namespace needs of the machine's files.
NETNS_MOUNTS = ("/run/netns",)

# Linux 5.8, the first with a ring buffer: a clock that shows an earlier time is wrong.
_EARLIEST_NS = 1_596_400_000 * NS

_TIMEX_BYTES = 256  # struct timex has 208 (include/uapi/linux/timex.h)
_TIME_ERROR = 5


def kernel_symbols() -> Finding:
    """Whether /proc/kallsyms tells addresses, which names an ICMP's sender."""
    name = "kernel symbols"
    if symbols.tells_addresses():
        return ok(name, "/proc/kallsyms tells their addresses")
    if SYSLOG.name in missing_capabilities():
        return unknown(name, f"hidden without {SYSLOG.name}")
    return degraded(
        name,
        "/proc/kallsyms hides their addresses (kernel.kptr_restrict is 2)",
        SYSLOG.lost,
        "sysctl kernel.kptr_restrict=1",
    )


def udp_diag() -> Finding:
    """Whether the sockets that are older than the trace can be had, and from where."""
    try:
        found = udp_sockets(0, 0)
    except OSError as error:
        return degraded(
            "udp_diag",
            f"neither it nor /proc/net/udp can be read: {error.strerror or error}",
            "sockets older than the trace are not known",
            "modprobe udp_diag",
        )
    if found.reason:
        return degraded(
            "udp_diag",
            f"{found.reason.removeprefix('udp_diag: ')}; /proc/net/udp is read instead",
            "cookies, devices and v6only flags of the sockets older than the trace",
            "modprobe udp_diag",
        )
    return ok("udp_diag", f"answers; {len(found.sockets)} UDP sockets in this network namespace")


def containers() -> Finding:
    """The container engines there are signs of."""
    found = [name for name, paths in ENGINES.items() if any(map(os.path.exists, paths))]
    return ok("containers", ", ".join(found) or "no engine found", engines=found)


def files() -> Finding:
    """Whether the machine's directories can be seen that tell of network namespaces."""
    name = "files"
    contained = in_container()
    if contained is None:
        return unknown(name, f"whether they are the machine's is not told: {INIT_MOUNTS} is hidden")
    if not contained:
        return ok(name, "the machine's own", container=False)
    # With the machine's processes, process 1 leads to its files.
    if is_initial("pid"):
        return ok(
            name, "a mount namespace's own; the machine's are seen by process 1", container=True
        )
    missing = [path for path in NETNS_MOUNTS if not os.path.exists(path)]
    if not missing:
        return ok(name, "a container's, with the machine's /run/netns", container=True)
    return degraded(
        name,
        f"a container's; not here: {', '.join(missing)}",
        "names of network namespaces (`ip netns`), and those without a process",
        f"docker run {' '.join(f'-v {path}:{path}:ro,rslave' for path in missing)}",
        container=True,
    )


def clock() -> Finding:
    """Whether the wall clock can be right, and whether the kernel takes it for synchronised."""
    now = time.time_ns()
    text = utc_text(now)[:19].replace("T", " ") + " UTC"
    synchronised = _synchronised()
    if now < _EARLIEST_NS:
        return degraded(
            "clock",
            f"{text}, which is before this kernel was made",
            "the times shown are wrong",
            "timedatectl set-ntp true",
            synchronised=synchronised,
        )
    state = "synchronised" if synchronised else "not synchronised"
    return ok("clock", f"{text}, {state}", synchronised=synchronised)


def _synchronised() -> bool:
    """What the kernel's time discipline says (adjtimex(2), reading only)."""
    libc = ctypes.CDLL(None)
    return bool(0 <= libc.adjtimex(bytes(_TIMEX_BYTES)) < _TIME_ERROR)


CHECKS: tuple[Callable[[], Finding], ...] = (
    kernel_symbols,
    udp_diag,
    files,
    containers,
    clock,
)
"""Each looks at one thing, needs no probe and never raises; in the order in which they are told."""
