"""What this machine allows: the reasons a session cannot start, each with its remedy."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracer.errors import StartError
from tracer.findings import Finding, broken, degraded, ok, unknown

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe")
LOCKDOWN = Path("/sys/kernel/security/lockdown")
FTRACE_ENABLED = Path("/proc/sys/kernel/ftrace_enabled")
KPROBES_ENABLED = Path("/sys/kernel/debug/kprobes/enabled")
STATUS = Path("/proc/self/status")
NAMESPACES = Path("/proc/self/ns")

NO_LIMIT = resource.RLIM_INFINITY
RAISE_MEMLOCK = "run it with CAP_SYS_RESOURCE, or after `ulimit -l unlimited`"
REPORT_IT = "please report it with what `udptrace doctor -f json` says"

# PROC_USER_INIT_INO and PROC_PID_INIT_INO of include/linux/proc_ns.h.
_INIT_USER = 0xEFFFFFFD
_INIT_PID = 0xEFFFFFFC


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability by its name and number (include/uapi/linux/capability.h), and its use."""

    name: str
    bit: int
    required: bool = False


# Loading and attaching (SYS_ADMIN, which holds BPF and PERFMON), setting up the self-test's private
# network namespace, entering others', reading whose sockets are whose.
CAPABILITIES = (
    Capability("CAP_NET_ADMIN", 12, required=True),
    Capability("CAP_SYS_PTRACE", 19, required=True),
    Capability("CAP_SYS_ADMIN", 21, required=True),
    Capability("CAP_DAC_OVERRIDE", 1),
    Capability("CAP_DAC_READ_SEARCH", 2),
    Capability("CAP_SYS_RESOURCE", 24),
    Capability("CAP_SYSLOG", 34),
    Capability("CAP_PERFMON", 38),
    Capability("CAP_BPF", 39),
)

# Either lets /proc/PID/fd of another user's process be listed (mode 0500).
_READS_ALL = ("CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")


def check() -> None:
    """Raise StartError for the first reason why probes cannot be loaded here."""
    for finding in preconditions():
        if finding.status == "broken":
            raise StartError(finding.detail, finding.remedy)


def preconditions() -> Iterator[Finding]:
    """What can be told without loading anything; a broken one forbids a live trace."""
    yield architecture()
    yield capabilities()
    yield kprobes()


def architecture() -> Finding:
    """Linux on a processor whose calling convention the probes know."""
    here = platform.machine()
    if platform.system() != "Linux" or here != "x86_64":
        return broken(
            "architecture",
            f"udptrace is tested on x86-64 Linux only, and this is {here} {platform.system()}",
            "a recording can still be replayed here: udptrace replay FILE",
            machine=here,
        )
    return ok("architecture", "x86-64", machine=here)


def capabilities() -> Finding:
    """The effective ones, against those a trace needs or uses."""
    name = "capabilities"
    missing = missing_capabilities()
    required = [c.name for c in CAPABILITIES if c.required and c.name in missing]
    held = [c.name for c in CAPABILITIES if c.name not in missing]
    if required:
        words = f"loading probes needs root (missing here: {', '.join(required)})"
        return broken(name, words, "sudo udptrace", effective=held, missing=missing)
    if _namespace("user") not in (None, _INIT_USER):
        return broken(
            name,
            "loading probes needs the machine's root, and this is a user namespace's only",
            "sudo udptrace, outside of a rootless container or `unshare --user`",
            effective=held,
            missing=missing,
        )
    if set(_READS_ALL) <= set(missing):
        return degraded(
            name,
            f"without {' and '.join(_READS_ALL)}",
            "which processes hold the sockets of other users is not known",
            "sudo udptrace",
            effective=held,
            missing=missing,
        )
    words = ", ".join(c.name for c in CAPABILITIES if c.required)
    return ok(name, f"all that are needed: {words}", effective=held, missing=missing)


def missing_capabilities() -> list[str]:
    """Names of the capabilities this process lacks; all of them known when /proc is not there."""
    status = _read(STATUS)
    if not status:
        return [] if os.geteuid() == 0 else [c.name for c in CAPABILITIES]
    effective = next(
        (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0
    )
    return [c.name for c in CAPABILITIES if not effective >> c.bit & 1]


def kprobes() -> Finding:
    """Whether perf can make one, which is how BCC attaches them."""
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


def pid_namespace() -> Finding:
    """Whether /proc shows the processes of the whole machine."""
    if _namespace("pid") not in (None, _INIT_PID):
        return degraded(
            "processes",
            "a PID namespace of a container's own",
            "processes and network namespaces outside of it are not found",
            "docker run --pid=host, or run it on the host itself",
        )
    return ok("processes", "/proc shows all of the machine's")


def why_refused() -> tuple[str, str]:
    """The likeliest reason for a refused program, and the remedy."""
    if "[confidentiality]" in _read(LOCKDOWN):
        return _locked_down()
    return "the kernel's verifier refused it", REPORT_IT


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
    return memlock_limit() != NO_LIMIT and "CAP_SYS_RESOURCE" in missing_capabilities()


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


def _namespace(kind: str) -> int | None:
    """The inode number of this process's namespace of a kind; None where it is not told."""
    try:
        return (NAMESPACES / kind).stat().st_ino
    except OSError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
