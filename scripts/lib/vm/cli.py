"""The command line of scripts/vm."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from . import guest, kernels
from .errors import SignalError, VmError


def parser() -> argparse.ArgumentParser:
    """The options of scripts/vm."""
    parser = argparse.ArgumentParser(
        prog="scripts/vm",
        description="Run COMMAND as root under QEMU with a stock Debian kernel, in this checkout.",
        usage="scripts/vm [options] -- COMMAND...\n       scripts/vm --list",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--list", action="store_true", help="print the kernels")
    add("--kernel", metavar="VERSION", help="a kernel of --list, or newest")
    suites = tuple(kernels.DEFAULT_OF_SUITE)
    add("--suite", choices=suites, default=suites[0], help="the user space (default: trixie)")
    add("--icount", action="store_true", help="guest time is a count of executed instructions")
    add("--memory", metavar="MB", type=_megabytes, default=2048, help="(default: 2048)")
    add("--share", metavar="DIR", type=Path, help="a directory to have at /share in the guest")
    add("--headers", action="store_true", help="attach the kernel's headers, for other tracers")
    add("-v", "--verbose", action="store_true", help="say what boots and how long it took")
    add("command", nargs="*", metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str]) -> int:
    """Run scripts/vm; returns its exit status."""
    options = parser()
    chosen = options.parse_args(arguments)
    if not chosen.list and not chosen.command:
        options.error("COMMAND is missing")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if chosen.list:
            print(kernels.listing())
            return 0
        return guest.run(guest.Options(**{k: v for k, v in vars(chosen).items() if k != "list"}))
    except VmError as error:
        print(f"scripts/vm: {error}", file=sys.stderr)
        for line in error.details.splitlines():
            print(f"    {line}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"scripts/vm: {error}", file=sys.stderr)
        return 1
    except SignalError as error:
        return 128 + error.number


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise SignalError(number)


def _megabytes(text: str) -> int:
    try:
        megabytes = int(text)
    except ValueError:
        megabytes = 0
    if megabytes < 256:
        raise argparse.ArgumentTypeError(f"{text}: wanted a number of megabytes, 256 or more")
    return megabytes
