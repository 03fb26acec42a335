"""The processors a guest can have: real ones (KVM), emulated ones, one that counts instructions."""

from __future__ import annotations

import re
import subprocess

KVM = ("-accel", "kvm", "-cpu", "host", "-smp", "2")
# Five-level page tables would only make emulated memory slower.
COUNTING = ("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off",
            "-cpu", "max,la57=off", "-smp", "1")  # fmt: skip

# Before 8.1 (commit deba78709a, "accel/tcg: Always lock pages before translation") one thread could
# run code that another had just patched: a guest in fifty died of `int3` in a static branch. One
# host thread that takes turns for both processors cannot.
THREADS_ARE_SAFE = (8, 1)


def emulated(version: tuple[int, int]) -> tuple[str, ...]:
    """Two emulated processors, each with a thread of its own where this QEMU gets that right."""
    threads = "multi" if version >= THREADS_ARE_SAFE else "single"
    return ("-accel", f"tcg,thread={threads}", "-cpu", "max,la57=off", "-smp", "2")


def qemu_version(qemu: str) -> tuple[int, int]:
    """QEMU's version; (0, 0) when it does not say."""
    try:
        result = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0, 0
    found = re.search(r"version (\d+)\.(\d+)", result.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
