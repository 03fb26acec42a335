"""What this machine allows: the reasons a session cannot start, each with its remedy."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tracer.errors import UdptraceError

KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe")
LOCKDOWN = Path("/sys/kernel/security/lockdown")
FTRACE_ENABLED = Path("/proc/sys/kernel/ftrace_enabled")
KPROBES_ENABLED = Path("/sys/kernel/debug/kprobes/enabled")

# What loading, attaching and the self-test's private network namespace need
# (include/uapi/linux/capability.h).
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21}


def check() -> None:
    """Raise UdptraceError for the first reason why probes cannot be loaded here."""
    if platform.machine() != "x86_64":
        raise UdptraceError(
            f"udptrace is tested on x86-64 only, and this is {platform.machine()}: "
            "a recording can still be replayed here"
        )
    missing = missing_capabilities()
    if missing:
        raise UdptraceError(
            f"loading probes needs root (missing here: {', '.join(missing)}): run it with sudo"
        )
    if not KPROBE_PMU.exists():
        raise UdptraceError(
            f"this kernel has no kprobes ({KPROBE_PMU} is missing): it needs CONFIG_KPROBES=y and "
            "CONFIG_KPROBE_EVENTS=y; scripts/vm runs udptrace on a kernel that has them"
        )


def missing_capabilities() -> list[str]:
    """Names of the capabilities this process lacks; all of them known when /proc is not there."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return [] if os.geteuid() == 0 else list(CAPABILITIES)
    effective = next(
        (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0
    )
    return [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]


def why_refused() -> str:
    """The likeliest reason for a refused program, as words to append; never empty."""
    lockdown = _read(LOCKDOWN)
    if "[confidentiality]" in lockdown:
        return (
            "the kernel is locked down (confidentiality), which forbids reading its memory: "
            "boot with lockdown=integrity or none"
        )
    return "the kernel's verifier refused it: please report it with the kernel's version"


def why_silent() -> str:
    """The likeliest reason for probes that attach and never fire, as words to append."""
    if _read(FTRACE_ENABLED).strip() == "0":
        return (
            "kernel.ftrace_enabled is 0, under which probes attach and stay silent: "
            "run sysctl kernel.ftrace_enabled=1"
        )
    if _read(KPROBES_ENABLED).strip() == "0":
        return f"kprobes are switched off: run echo 1 > {KPROBES_ENABLED}"
    return "another tool may have disabled it; check /sys/kernel/debug/kprobes/list"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
