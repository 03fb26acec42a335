"""What this machine allows: the reasons a session cannot start, each with its remedy."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import resource
import struct
from collections.abc import Iterator
from pathlib import Path

from tracer.errors import StartError
from tracer.findings import Finding, broken, degraded, ok, unknown
from tracer.kernel import capabilities
from tracer.system.initial import is_initial
from tracer.system.own_status import own_status

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe")
LOCKDOWN = Path("/sys/kernel/security/lockdown")
FTRACE_ENABLED = Path("/proc/sys/kernel/ftrace_enabled")
KPROBES_ENABLED = Path("/sys/kernel/debug/kprobes/enabled")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
SYSFS = Path("/sys/kernel/uevent_seqnum")

NO_LIMIT = resource.RLIM_INFINITY
MB = 1_000_000
FILES_NEEDED = 128
"""Programs, maps and probes are files; so are namespaces that are entered, and engines' files."""
SPACE_NEEDED = 500 * MB
"""Most of it is BCC and its compiler, and never touched."""
REPORT_IT = "please report it with what `udptrace doctor -f json` says"
ALLOW_CALLS = (
    "docker run --security-opt seccomp=unconfined, or a profile that allows bpf and perf_event_open"
)
RAISE_MEMLOCK = "run it with CAP_SYS_RESOURCE, or after `ulimit -l unlimited`"

# x86-64's number, and a struct perf_event_attr (its first 112 bytes) that asks for an event which
# counts nothing (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_DUMMY).
_PERF_EVENT_OPEN = 298
_PERF_DUMMY = struct.pack("=IIQ96x", 1, 112, 9)


def check() -> list[Finding]:
    """Raise StartError for the first reason why probes cannot be loaded here.

    Returns what a trace will lack: the degraded ones of the preconditions.
    """
    found = list(preconditions())
    for finding in found:
        if finding.status == "broken":
            raise StartError(finding.detail, finding.remedy)
    return [finding for finding in found if finding.status == "degraded"]


def preconditions() -> Iterator[Finding]:
    """What can be told without loading anything; a broken one forbids a live trace."""
    yield architecture()
    yield capabilities.summary()
    yield from capabilities.losses()
    yield kprobes()
    yield limits()
    yield pid_namespace()


def architecture() -> Finding:
    """Linux on a processor whose calling convention the probes know."""
    machine = os.uname()
    here = machine.machine
    if machine.sysname != "Linux" or here != "x86_64":
        return broken(
            "architecture",
            f"udptrace is tested on x86-64 Linux only, and this is {here} {machine.sysname}",
            "a recording can still be replayed here: udptrace replay FILE",
            machine=here,
        )
    return ok("architecture", "x86-64", machine=here)


def kprobes() -> Finding:
    """Whether perf can make one, which is how BCC attaches them."""
    if not SYSFS.exists():
        return broken("kprobes", *no_sysfs())
    if not KPROBE_PMU.exists():
        return broken(
            "kprobes",
            f"this kernel has no kprobes ({KPROBE_PMU} is missing)",
            "apt install linux-image-amd64 (Debian) and boot it, which has CONFIG_KPROBES=y and "
            "CONFIG_KPROBE_EVENTS=y; or let scripts/vm of a checkout run it on such a kernel",
        )
    if _read(KPROBES_ENABLED).strip() == "0":
        words = f"kprobes are switched off ({KPROBES_ENABLED} is 0)"
        return broken("kprobes", words, f"echo 1 > {KPROBES_ENABLED}")
    refusal = why_unattached()
    if refusal:
        return broken("kprobes", *refusal)
    return ok("kprobes", "perf can make them")


def lockdown(loaded: bool) -> Finding:
    """Whether the kernel lets its memory be read; ``loaded``: the probes were let in."""
    name = "lockdown"
    text = _read(LOCKDOWN)
    level = text.partition("[")[2].partition("]")[0] or None
    if level == "confidentiality" and not loaded:
        return broken(name, *_locked_down(), level=level)
    if loaded:
        words = level or f"{LOCKDOWN} is not there"
        return ok(name, f"{words}; the probes may read kernel memory", level=level)
    if level is None:
        return unknown(name, f"not known: {LOCKDOWN} is not there", level=level)
    return ok(name, f"{level}: probes may read kernel memory", level=level)


def ftrace(fired: bool) -> Finding:
    """The switch under which entry kprobes attach and stay silent; ``fired``: these did not."""
    name = "ftrace"
    value = _read(FTRACE_ENABLED).strip()
    if value == "0" and not fired:
        return broken(name, *_ftrace_off(), enabled=False)
    if value == "0":
        return ok(name, "switched off, and the probes fire", enabled=False)
    if not value:
        return ok(name, "no switch to turn probes off", enabled=None)
    return ok(name, "switched on", enabled=True)


def limits() -> Finding:
    """Whether this process may open and map as much as a start takes.

    BCC says of neither that a limit was in the way, or only tries in vain for minutes.
    """
    files, space = soft_limits()
    facts = {"files": _number(files), "address_space": _number(space)}
    if files < FILES_NEEDED:
        words = f"only {files} files may be open, and a trace opens up to {FILES_NEEDED}"
        return broken("limits", words, "ulimit -n 1024", **facts)
    if space < SPACE_NEEDED:
        words = f"only {space // MB:.0f} MB of memory may be mapped, and the compiler maps"
        return broken("limits", f"{words} {SPACE_NEEDED // MB}", "ulimit -v unlimited", **facts)
    return ok("limits", "enough files may be opened, and memory mapped", **facts)


def soft_limits() -> tuple[float, float]:
    """How many files may be open, and how many bytes mapped."""
    names = (resource.RLIMIT_NOFILE, resource.RLIMIT_AS)
    found = (resource.getrlimit(name)[0] for name in names)
    files, space = (math.inf if limit == NO_LIMIT else limit for limit in found)
    return files, space


def _number(limit: float) -> int | None:
    """None for no limit."""
    return None if limit == math.inf else int(limit)


def pid_namespace() -> Finding:
    """Whether /proc shows the processes of the whole machine."""
    if is_initial("pid") is False:
        return degraded(
            "processes",
            "in a container's own PID namespace",
            "who holds a socket is not looked up, since /proc has other numbers than the kernel's"
            " events; network namespaces only other processes are in are not found",
            "docker run --pid=host, or run it on the host itself",
        )
    return ok("processes", "/proc shows all of the machine's")


def why_refused() -> tuple[str, str]:
    """The likeliest reason for a refused program, and the remedy."""
    if "[confidentiality]" in _read(LOCKDOWN):
        return _locked_down()
    return "the kernel's verifier refused it", REPORT_IT


def why_unattached() -> tuple[str, str] | None:
    """Why this process may not use perf, which attaches the probes, and the remedy; None if it may.

    BCC does not tell it from a function that cannot be probed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    event = libc.syscall(_PERF_EVENT_OPEN, _PERF_DUMMY, -1, 0, -1, 0)
    if event < 0:
        return perf_refusal(ctypes.get_errno())
    os.close(event)
    return None


def perf_refusal(number: int) -> tuple[str, str] | None:
    """The likeliest reason for an errno of perf_event_open, and the remedy; None: no refusal."""
    if number not in (errno.EPERM, errno.EACCES):
        return None
    # Above 2 (a patch of Debian's and Ubuntu's) CAP_PERFMON is not enough.
    level = _read(PARANOID).strip()
    if level.isdecimal() and int(level) > 2:
        words = f"kernel.perf_event_paranoid is {level}, under which CAP_PERFMON attaches no probes"
        return words, "sysctl kernel.perf_event_paranoid=2, or run it with CAP_SYS_ADMIN"
    if has_seccomp_filter():
        return "perf_event_open() is refused, and a seccomp filter is in force", ALLOW_CALLS
    return "perf_event_open() is refused", "a security module may forbid it: see dmesg"


def has_seccomp_filter() -> bool:
    """Whether system calls of this process are filtered, as container engines have it."""
    return own_status("Seccomp") == "2"


def no_sysfs() -> tuple[str, str]:
    """What is said of a machine whose /sys cannot be seen, and the remedy."""
    return (
        f"/sys is not mounted here ({SYSFS} is missing), which has the kernel's types and kprobes",
        "mount -t sysfs sysfs /sys; in a container: docker run -v /sys:/sys:ro",
    )


def why_silent() -> tuple[str, str]:
    """The likeliest reason for probes that attach and never fire, and the remedy."""
    if _read(FTRACE_ENABLED).strip() == "0":
        return _ftrace_off()
    return "another tool may have disabled them", "check /sys/kernel/debug/kprobes/list"


def memlock_limit() -> int:
    """RLIMIT_MEMLOCK as it is now, in bytes, or NO_LIMIT. BCC raises it if it may."""
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]


def memlock_is_short() -> bool:
    """There is a limit to locked memory, and BCC may not raise it."""
    return memlock_limit() != NO_LIMIT and "CAP_SYS_RESOURCE" in capabilities.missing_capabilities()


def _locked_down() -> tuple[str, str]:
    return (
        "the kernel is locked down (confidentiality), which forbids reading its memory",
        "boot with lockdown=integrity or none on the kernel's command line",
    )


def _ftrace_off() -> tuple[str, str]:
    return (
        "kernel.ftrace_enabled is 0, under which probes attach and stay silent",
        "sysctl kernel.ftrace_enabled=1",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
