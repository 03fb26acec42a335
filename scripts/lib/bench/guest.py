"""Runs the measurements that need a kernel in the VM, where time is a count of instructions."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import figures
from bench.checkout import TOP
from bench.figures import Figure

HERE = Path(__file__).parent


def measure(topics: Sequence[str]) -> list[Figure]:
    """The figures of these topics (bench.in_guest), without their targets."""
    with tempfile.TemporaryDirectory() as directory:
        share = Path(directory)
        source = HERE / "in_guest/traffic.c"
        _run(["gcc", "-O2", "-Wall", "-static", "-o", str(share / "traffic"), str(source)])
        command = [
            *(str(TOP / "scripts/vm"), "--icount", "--headers", "--memory", "3072"),
            *("--share", directory, "--", "env", "PYTHONPATH=/src:/src/scripts/lib"),
            *("python3", "-m", "bench.in_guest", "/share/figures.json", *topics),
        ]
        _run(command)
        return figures.load(share / "figures.json")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {Path(command[0]).name} failed")
