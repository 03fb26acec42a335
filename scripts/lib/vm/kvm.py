"""Whether KVM works here, proven by booting a kernel with it: /dev/kvm alone proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from . import cache, machine, processors
from .cpio import Cpio
from .run import TIED

DEVICE = Path("/dev/kvm")
SECONDS = 30
PROOF = b"udptrace: kvm works"
INIT = (
    b"#!/bin/sh\nmount -t devtmpfs devtmpfs /dev\necho '"
    + PROOF
    + b"' >/dev/console\npoweroff -f\n"
)


def works(kernel: Path, tools: Path) -> bool:
    """Whether the kernel boots with KVM; asked once per boot of this machine."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    memory = cache.directory() / "kvm.json"
    asked = {"boot": _boot_id(), "qemu": _qemu_time()}
    try:
        known = json.loads(memory.read_text())
        if known["asked"] == asked:
            return bool(known["works"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    answer = _boots(kernel, tools)
    partial = memory.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps({"asked": asked, "works": answer}))
    partial.rename(memory)
    return answer


def _boots(kernel: Path, tools: Path) -> bool:
    cpio = Cpio()
    cpio.file("init", INIT, executable=True)
    initramfs = machine.in_memory("initramfs", tools.read_bytes() + cpio.packed())
    # QEMU aborts where KVM is half there: no reason to leave a core file.
    command = [
        *TIED,
        "prlimit",
        "--core=0",
        machine.QEMU,
        *machine.BARE,
        *processors.KVM,
        "-m",
        "512",
        "-serial",
        "stdio",
    ]
    command += ["-kernel", str(kernel), "-initrd", f"/proc/self/fd/{initramfs}"]
    command += ["-append", machine.PARAMETERS]
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            pass_fds=[initramfs],
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        os.close(initramfs)
    return result.returncode == 0 and PROOF in result.stdout


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _qemu_time() -> float:
    """Another QEMU may do what this one cannot."""
    for directory in os.get_exec_path():
        path = Path(directory, machine.QEMU)
        if path.exists():
            return path.stat().st_mtime
    return 0.0
