"""The command line of scripts/vm."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import checkout, kernels, rootfs, terminal
from .cpio import Cpio
from .errors import VmError
from .kernel_image import KernelImage, kernel_image
from .machine import Machine
from .session import Session

GUEST = Path(__file__).parent / "guest"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def parser() -> argparse.ArgumentParser:
    """The options of scripts/vm."""
    parser = argparse.ArgumentParser(
        prog="scripts/vm",
        description="Run COMMAND as root in a stock Debian kernel under QEMU.",
        usage="scripts/vm [options] -- COMMAND...\n       scripts/vm --list",
        allow_abbrev=False,
    )
    parser.add_argument("--list", action="store_true", help="print the kernels")
    parser.add_argument("--kernel", metavar="VERSION", help="5.10, 6.1, 6.12 or newest")
    parser.add_argument(
        "--suite", choices=tuple(kernels.DEFAULT_OF_SUITE), default="trixie", help="the user space"
    )
    parser.add_argument(
        "--icount", action="store_true", help="guest time counts executed instructions"
    )
    parser.add_argument("--memory", metavar="MB", type=_memory, default=2048)
    parser.add_argument("--share", metavar="DIR", type=Path, help="at /share in the guest")
    parser.add_argument("-v", "--verbose", action="store_true", help="say how long the boot took")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str]) -> int:
    """Run scripts/vm; returns its exit status."""
    options = parser()
    chosen = options.parse_args(arguments)
    if not chosen.list and not chosen.command:
        options.error("COMMAND is missing")
    try:
        if chosen.list:
            print(kernels.listing())
            return 0
        return _run(chosen)
    except VmError as error:
        print(f"scripts/vm: {error}", file=sys.stderr)
        for line in error.details.splitlines():
            print(f"    {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _memory(text: str) -> int:
    megabytes = int(text)
    if megabytes < 256:
        raise argparse.ArgumentTypeError("a guest needs 256 MB at least")
    return megabytes


def _run(chosen: argparse.Namespace) -> int:
    share = chosen.share
    if share is not None and not share.is_dir():
        raise VmError(f"--share {share}: there is no such directory")
    kernel = kernel_image(kernels.select(chosen.kernel, chosen.suite))
    base = rootfs.base_image(chosen.suite)
    tty = terminal.find()
    packed = checkout.pack(checkout.root())
    guest = Machine(
        kernel=kernel.kernel,
        initramfs=_initramfs(kernel, base, chosen, tty),
        console=os.memfd_create("console"),
        accelerator="tcg",
        memory=chosen.memory,
        icount=chosen.icount,
        share=share.resolve() if share else None,
        disks={
            "root": str(base.root),
            "modules": str(kernel.modules),
            "checkout": f"/proc/self/fd/{packed}",
        },
        descriptors=[packed],
    )
    return Session(guest, tty, chosen.verbose).run()


def _initramfs(
    kernel: KernelImage,
    base: rootfs.BaseImage,
    chosen: argparse.Namespace,
    tty: terminal.Terminal | None,
) -> int:
    """The initramfs in memory: the tools, the kernel's modules, and what this run adds."""
    cpio = Cpio()
    cpio.directory("vm")
    cpio.file("init", (GUEST / "init").read_bytes(), executable=True)
    cpio.file("vm/agent.py", (GUEST / "agent.py").read_bytes())
    cpio.file("vm/argv", _joined(chosen.command))
    cpio.file("vm/options", f"share={'yes' if chosen.share else ''}\nheaders=\n".encode())
    environment = {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8"}
    if tty is not None:
        environment["TERM"] = os.environ.get("TERM", "linux")
        rows, columns = tty.size()
        cpio.file("vm/terminal", f"{rows} {columns}".encode())
    cpio.file("vm/environment", _joined([f"{k}={v}" for k, v in environment.items()]))
    descriptor = os.memfd_create("initramfs")
    with os.fdopen(os.dup(descriptor), "wb") as handle:
        handle.write(base.initramfs.read_bytes())
        handle.write(kernel.initramfs.read_bytes())
        handle.write(cpio.bytes())
    return descriptor


def _joined(strings: list[str]) -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in strings)
