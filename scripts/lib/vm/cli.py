"""The command line of scripts/vm."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import guest, kernels
from .errors import SignalError, VmError

ENVIRONMENT = """environment:
  UDPTRACE_CACHE            where the images are kept (default: ~/.cache/udptrace)
  DEBIAN_MIRROR             instead of the mirror in this machine's apt configuration
  DEBIAN_SECURITY_MIRROR    instead of DEBIAN_MIRROR with -security behind it
  UDPTRACE_VM_BOOT_SECONDS  how long a boot may take (default: 300)

Exit status: COMMAND's; 1 when the machine failed, 2 for wrong usage.
"""


def parser() -> argparse.ArgumentParser:
    """The options of scripts/vm."""
    parser = argparse.ArgumentParser(
        prog="scripts/vm",
        description="Run COMMAND as root under QEMU with a stock Debian kernel, in this checkout.",
        usage="scripts/vm [options] -- COMMAND...\n       scripts/vm --list",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    return parser


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options, and in `command` what stands behind the first `--`; ends with usage and 2."""
    options = parser()
    end = arguments.index("--") if "--" in arguments else len(arguments)
    chosen = options.parse_args(arguments[:end])
    chosen.command = arguments[end + 1 :]
    if not chosen.list and not chosen.command:
        options.error("COMMAND is missing: write it behind --")
    return chosen


def main(arguments: list[str]) -> int:
    """Run scripts/vm; returns its exit status."""
    chosen = parse(arguments)
    try:
        if chosen.list:
            print(kernels.listing())
            return 0
        return guest.run(_options(chosen))
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


def _options(chosen: argparse.Namespace) -> guest.Options:
    return guest.Options(
        command=chosen.command,
        kernel=chosen.kernel,
        suite=chosen.suite,
        icount=chosen.icount,
        memory=chosen.memory,
        share=chosen.share,
        headers=chosen.headers,
        verbose=chosen.verbose,
    )


def _megabytes(text: str) -> int:
    try:
        megabytes = int(text)
    except ValueError:
        megabytes = 0
    if megabytes < 256:
        raise argparse.ArgumentTypeError(f"{text}: wanted a number of megabytes, 256 or more")
    return megabytes
