"""Holds the kernel at the entry of a function until told to go on: races without luck.

A kprobe's program spins there, so that one processor stays in the middle of a connect() or of a
receive while the other one goes through what is to happen meanwhile.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.kernel.live import wait_for
from tracer.resources import bpf_dir

ARMED, HELD, RELEASED = 1, 2, 3

# The verifier follows at most 8192 branches (BPF_COMPLEXITY_LIMIT_JMP_SEQ), so that each round has
# to take long: it copies 4 MiB onto themselves.
_ROUNDS = 4000
# A test that fails must not hang the machine: the verifier wants an end, and so does the watchdog
# for processors that schedule nothing (20 s).
_LIMIT_NS = 15_000_000_000
_PROGRAM = b"""
#include <uapi/linux/ptrace.h>
struct ballast { char bytes[1048576]; };
BPF_ARRAY(state, u32, 1);
BPF_ARRAY(ballast, struct ballast, 1);
int hold(struct pt_regs *ctx) {
    int zero = 0;
    u64 began = bpf_ktime_get_ns();
    volatile u32 *now = state.lookup(&zero);
    struct ballast *slow = ballast.lookup(&zero);
    if (!now || !slow || *now != ARMED || bpf_get_current_pid_tgid() >> 32 != OWN)
        return 0;
    *now = HELD;
    #pragma clang loop unroll(disable)
    for (int i = 0; i < ROUNDS; i++) {
        if (*now == RELEASED || bpf_ktime_get_ns() - began > LIMIT_NS)
            break;
        bpf_probe_read_kernel(slow, sizeof(*slow), slow);
        bpf_probe_read_kernel(slow, sizeof(*slow), slow);
        bpf_probe_read_kernel(slow, sizeof(*slow), slow);
        bpf_probe_read_kernel(slow, sizeof(*slow), slow);
    }
    return 0;
}
"""


class Freezer:
    """The probe, on every symbol given. Use it by `held`; two processors are needed.

    This process alone is held, with what is received while it sends: others' calls, and what the
    kernel sends when a timer says so, would be taken for it.
    """

    def __init__(self, *symbols: str) -> None:
        import bcc

        os.environ["BCC_KERNEL_SOURCE"] = str(bpf_dir() / "stubs")
        constants = {"ARMED": ARMED, "HELD": HELD, "RELEASED": RELEASED,
                     "OWN": os.getpid(), "LIMIT_NS": _LIMIT_NS, "ROUNDS": _ROUNDS}  # fmt: skip
        flags = [f"-D{name}={value}" for name, value in constants.items()]
        self._bpf = bcc.BPF(text=_PROGRAM, cflags=[*flags, "-Wno-unused-command-line-argument"])
        for symbol in symbols:
            self._bpf.attach_kprobe(event=symbol.encode(), fn_name=b"hold")

    def close(self) -> None:
        """Detach it."""
        self._bpf.cleanup()

    @contextmanager
    def held(self, function: Callable[[], object]) -> Iterator[None]:
        """Start a function on the second processor; the body runs while it is held.

        It is at the entry of one of the symbols then; it has ended when this context has.
        """
        with ThreadPoolExecutor(1) as pool:
            before = os.sched_getaffinity(0)
            first, second = sorted(before)[:2]
            os.sched_setaffinity(0, {first})
            self._set(ARMED)
            started = pool.submit(_on, second, function)
            try:
                wait_for(lambda: self._get() == HELD, "the function that is to be held")
                yield
                assert not started.done(), "held too long: it went on by itself"
            finally:
                self._set(RELEASED)
                os.sched_setaffinity(0, before)
            started.result()

    def _get(self) -> int:
        return int(self._bpf[b"state"][ctypes.c_int(0)].value)

    def _set(self, state: int) -> None:
        self._bpf[b"state"][ctypes.c_int(0)] = ctypes.c_uint32(state)


def _on(processor: int, function: Callable[[], object]) -> None:
    os.sched_setaffinity(0, {processor})
    function()
