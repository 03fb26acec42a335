"""The capabilities a trace uses: what needs each, and what is lost without it.

docs/privileges.md has the same for its reader; tests/kernel/test_privileges.py proves it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tracer.findings import Finding, broken, degraded, ok
from tracer.kernel import symbols
from tracer.system.initial import is_initial
from tracer.system.own_status import own_status

NAME = "capabilities"


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability by its name and number (include/uapi/linux/capability.h).

    ``use`` is what needs it, for one without which no trace starts; ``lost`` what a trace lacks
    without another. One that has neither serves in another's place, or is told of elsewhere.
    ``instead`` are those that serve as well.
    """

    name: str
    bit: int
    use: str = ""
    lost: str = ""
    instead: tuple[str, ...] = ()


SYSLOG = Capability("CAP_SYSLOG", 34, lost="which kernel function asked for an ICMP is not named")

CAPABILITIES = (
    # Both were parts of CAP_SYS_ADMIN until 5.8, and that still holds them.
    Capability("CAP_BPF", 39, "loading the probes", instead=("CAP_SYS_ADMIN",)),
    Capability("CAP_PERFMON", 38, "attaching them", instead=("CAP_SYS_ADMIN",)),
    Capability(
        "CAP_SYS_ADMIN",
        21,
        lost="other network namespaces are not entered: those with a process are read from"
        " /proc/PID/net, without cookies, devices and v6only flags of sockets older than the trace,"
        " the rest of short walks, and NAT; those without a process are not seen",
    ),
    Capability(
        "CAP_SYS_PTRACE",
        19,
        lost="which processes hold the sockets of other users is not known, nor the network"
        " namespaces only they are in",
    ),
    # Either lets /proc/PID/fd of another user's process be listed (mode 0500).
    Capability(
        "CAP_DAC_READ_SEARCH",
        2,
        lost="which processes hold the sockets of other users is not known, nor the names in"
        " what container engines keep for root alone",
        instead=("CAP_DAC_OVERRIDE",),
    ),
    Capability(
        "CAP_NET_ADMIN", 12, lost="connection tracking is not asked for the ends before NAT"
    ),
    SYSLOG,
    Capability("CAP_DAC_OVERRIDE", 1),
    # For memory that is locked: the finding `memlock` tells where that matters.
    Capability("CAP_SYS_RESOURCE", 24),
)

FOR_PROCESSES = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")
"""Those without which it is not known who holds a socket."""


def summary() -> Finding:
    """Those without which no trace starts; the lines of `losses` tell of the others."""
    missing = missing_capabilities()
    held = [c.name for c in CAPABILITIES if c.name not in missing]
    needed = [c for c in _lacking(missing) if c.use]
    if needed:
        uses = ", ".join(f"{c.use} needs {c.name}" for c in needed)
        names = [c.name for c in needed]
        return broken(NAME, f"not allowed: {uses}", _remedy(names), effective=held, missing=missing)
    if is_initial("user") is False:
        return broken(
            NAME,
            "loading probes needs the machine's capabilities, and these are a user namespace's"
            " only",
            "sudo udptrace, outside of a rootless container or `unshare --user`",
            effective=held,
            missing=missing,
        )
    words = ", ".join(c.name for c in CAPABILITIES if c.name in held and (c.use or c.lost))
    return ok(NAME, words, effective=held, missing=missing)


def losses() -> Iterator[Finding]:
    """A finding for each that is missing and that a trace can do without."""
    for capability in _lacking(missing_capabilities()):
        if capability is SYSLOG and symbols.tells_addresses():
            continue  # kernel.kptr_restrict=0 may tell them to all
        if capability.lost:
            name = capability.name
            yield degraded(name, f"without {name}", capability.lost, _remedy([name]))


def missing_capabilities() -> list[str]:
    """Names of the capabilities this process lacks; all of them known when /proc is not there."""
    told = own_status("CapEff")
    if told is None:
        return [] if os.geteuid() == 0 else [c.name for c in CAPABILITIES]
    effective = int(told, 16)
    return [c.name for c in CAPABILITIES if not effective >> c.bit & 1]


def _lacking(missing: list[str]) -> list[Capability]:
    """Those of the missing ones in whose place nothing serves."""
    return [
        c for c in CAPABILITIES if c.name in missing and all(name in missing for name in c.instead)
    ]


def _remedy(names: list[str]) -> str:
    """How to get them: by becoming root, or for a root that lacks some, where it was started."""
    if os.geteuid() != 0:
        return f"sudo udptrace, or give it {' and '.join(names)} (docs/privileges.md)"
    options = " ".join(f"--cap-add={name.removeprefix('CAP_')}" for name in names)
    return f"docker run {options}, or a unit's CapabilityBoundingSet= (docs/privileges.md)"
