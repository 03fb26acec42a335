"""Runs tests/kernel in the VM, once for each kernel and user space, two VMs at a time.

usage: kernel_tests.py KERNEL:SUITE[:LESS]... -- [PYTEST-ARGUMENT...]
What depends on the user space alone is left out with LESS "user-space": where another run with
that user space shows it.
The output of each run is shown whole when it ends, so that runs do not mix.
"""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
COMMAND = [
    "python3",
    "-m",
    "pytest",
    "-q",
    "-p",
    "no:cacheprovider",
    "tests/system",
    "tests/kernel",
]

# What no kernel can change: what engines leave in files, how it is read, when a ring is written,
# what becomes of a tracer that is stopped, starved or killed.
# How restarted ones are followed is no such thing: before Linux 5.12 namespaces have no cookies.
USER_SPACE_ALONE = (
    "containers_incident",
    "containers_names",
    "containers_replay",
    "faults",
    "flight",
    "package",
    "privileges_podman",
    "storm",
)

LEFT_OUT = {"user-space": USER_SPACE_ALONE}


@dataclass(frozen=True)
class Run:
    """One kernel with one user space, and how its tests ended."""

    kernel: str
    suite: str
    status: int = 0
    output: str = ""
    seconds: float = 0.0


def run(target: str, arguments: list[str]) -> Run:
    """Boot, test, power off."""
    kernel, suite, *less = target.split(":")
    left_out = [
        f"--ignore=tests/kernel/test_{name}.py" for which in less for name in LEFT_OUT[which]
    ]
    started = time.monotonic()
    done = subprocess.run(
        [
            str(TOP / "scripts/vm"),
            "--kernel",
            kernel,
            "--suite",
            suite,
            "--",
            *COMMAND,
            *left_out,
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    return Run(kernel, suite, done.returncode, done.stdout, time.monotonic() - started)


def build_images(targets: list[str]) -> int:
    """Boot each once, so that two runs do not wait for one image to be built; shows progress."""
    for target in targets:
        kernel, suite, *_ = target.split(":")
        vm = [str(TOP / "scripts/vm"), "--kernel", kernel, "--suite", suite, "--", "true"]
        status = subprocess.run(vm, stdin=subprocess.DEVNULL, check=False).returncode
        if status:
            print(f"kernel {kernel} with {suite} does not boot", flush=True)
            return status
    return 0


def main(arguments: list[str]) -> int:
    """Exit status 0 when every run passed."""
    split = arguments.index("--")
    targets, rest = arguments[:split], arguments[split + 1 :]
    if build_images(targets):
        return 1
    failed = []
    # Three at a time on two cores took longer than two, though much of a run is waiting.
    workers = min(2, os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for future in concurrent.futures.as_completed(
            [pool.submit(run, target, rest) for target in targets]
        ):
            ended = future.result()
            name = f"kernel {ended.kernel} with {ended.suite}"
            print(f"== {name}, {ended.seconds:.0f} s", flush=True)
            print(ended.output, flush=True)
            if ended.status:
                failed.append(f"{name} (exit {ended.status})")
    for name in failed:
        print(f"FAILED: {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
