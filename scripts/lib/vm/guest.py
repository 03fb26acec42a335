"""Puts a guest together from the options and the images, and runs it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from . import checkout, headers_image, kernels, kvm, machine, processors, rootfs, terminal
from .cpio import Cpio
from .errors import VmError
from .kernel_image import KernelImage, kernel_image
from .session import Session

IN_GUEST = Path(__file__).parent / "in_guest"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    command: list[str]
    kernel: str | None
    suite: str
    icount: bool
    memory: int
    share: Path | None
    headers: bool
    verbose: bool


def run(options: Options) -> int:
    """Build what is missing, boot, run COMMAND; returns its exit status."""
    if options.share is not None and not options.share.is_dir():
        raise VmError(f"--share {options.share}: there is no such directory")
    selected = kernels.select(options.kernel, options.suite)
    kernel = kernel_image(selected)
    base = rootfs.base_image(options.suite)
    disks = {"root": str(base.root), "modules": str(kernel.modules)}
    if options.headers:
        disks["headers"] = str(headers_image.headers_image(selected, kernel))
    console = terminal.find()
    packed = checkout.pack(checkout.root())
    disks["checkout"] = f"/proc/self/fd/{packed}"
    wanted = machine.Machine(
        kernel=kernel.kernel,
        initramfs=machine.in_memory("initramfs", _initramfs(options, kernel, base, console)),
        console=machine.in_memory("console"),
        processor=_processor(options, kernel, base),
        megabytes=options.memory,
        disks=disks,
        share=options.share.resolve() if options.share else None,
        descriptors=[packed],
    )
    if options.verbose:
        how = " ".join(wanted.processor[:2])
        print(f"vm: {kernel.release} with {options.suite}, {how}", file=sys.stderr)
    return Session(wanted, console, options.verbose).run()


def _processor(options: Options, kernel: KernelImage, base: rootfs.BaseImage) -> tuple[str, ...]:
    if options.icount:
        return processors.COUNTING
    if kvm.works(kernel.kernel, base.initramfs):
        return processors.KVM
    return processors.emulated(processors.qemu_version(machine.QEMU))


def _initramfs(
    options: Options,
    kernel: KernelImage,
    base: rootfs.BaseImage,
    console: terminal.Terminal | None,
) -> bytes:
    """The whole initramfs: the tools, the kernel's first modules, and what this run adds."""
    cpio = Cpio()
    cpio.directory("vm")
    cpio.file("init", (IN_GUEST / "init").read_bytes(), executable=True)
    cpio.file("vm/agent.py", (IN_GUEST / "agent.py").read_bytes())
    cpio.file("vm/argv", _joined(options.command))
    share, headers = ("yes" if wanted else "" for wanted in (options.share, options.headers))
    cpio.file("vm/options", f"share={share}\nheaders={headers}\n".encode())
    environment = {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8"}
    if console is not None:
        environment["TERM"] = os.environ.get("TERM", "linux")
        rows, columns = console.size()
        cpio.file("vm/terminal", f"{rows} {columns}".encode())
    cpio.file("vm/environment", _joined([f"{k}={v}" for k, v in environment.items()]))
    return base.initramfs.read_bytes() + kernel.initramfs.read_bytes() + cpio.packed()


def _joined(strings: list[str]) -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in strings)
