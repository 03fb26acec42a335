"""The QEMU command line of a guest, and the process that runs it."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .errors import VmError
from .run import TIED

QEMU = "qemu-system-x86_64"
BARE = ("-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
# End on a panic. No need to protect a guest that lives for one command. And the emulated clocks
# are in step, but on a busy host look as if they were not.
PARAMETERS = (
    "console=ttyS0 loglevel=4 panic=-1 rdinit=/init mitigations=off random.trust_cpu=on "
    "tsc=reliable no_timer_check"
)
PORTS = ("ctl", "out", "err")


@dataclass
class Machine:
    """What a guest is made of. Files in memory are passed on as descriptors: none stays behind."""

    kernel: Path
    initramfs: int
    console: int
    processor: tuple[str, ...]
    megabytes: int
    disks: dict[str, str] = field(default_factory=dict)  # serial: file
    share: Path | None = None
    descriptors: list[int] = field(default_factory=list)

    def command(self, ports: dict[str, int]) -> list[str]:
        """The QEMU command line; `ports` are sockets by name."""
        command = [QEMU, *BARE, *self.processor, "-m", str(self.megabytes)]
        command += ["-kernel", str(self.kernel), "-initrd", f"/proc/self/fd/{self.initramfs}"]
        command += ["-append", PARAMETERS]
        command += ["-chardev", f"file,id=console,path=/proc/self/fd/{self.console},append=on"]
        command += ["-serial", "chardev:console"]
        for serial, path in self.disks.items():
            command += _disk(serial, path)
        command += ["-device", "virtio-serial-pci"]
        for number, name in enumerate(PORTS, 1):
            command += ["-chardev", f"socket,id={name},fd={ports[name]}"]
            command += ["-device", f"virtserialport,nr={number},chardev={name},name={name}"]
        if self.share is not None:
            command += _share(self.share)
        return command


def _disk(serial: str, path: str) -> list[str]:
    """A disk whose writes go to a temporary file that QEMU has already unlinked."""
    drive = f"file={_escaped(path)},format=raw,if=none,id={serial}"
    drive += ",snapshot=on,cache=unsafe,file.locking=off"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={serial},serial={serial}"]


def _share(directory: Path) -> list[str]:
    device = f"local,id=share,path={_escaped(str(directory))},security_model=none,multidevs=remap"
    return ["-fsdev", device, "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]


def start(machine: Machine) -> tuple[subprocess.Popen[bytes], dict[str, socket.socket]]:
    """Start QEMU; returns it and our ends of its ports."""
    ours, theirs = {}, {}
    for name in PORTS:
        ours[name], theirs[name] = socket.socketpair()
    inherited = {name: end.fileno() for name, end in theirs.items()}
    descriptors = [*inherited.values(), machine.initramfs, machine.console, *machine.descriptors]
    try:
        process = subprocess.Popen(
            [*TIED, *machine.command(inherited)],
            stdin=subprocess.DEVNULL,
            stdout=machine.console,
            stderr=machine.console,
            pass_fds=descriptors,
            start_new_session=True,  # a Ctrl-C is for COMMAND, not for QEMU
        )
    except OSError as error:
        raise VmError(f"cannot start {QEMU}: {error.strerror}") from error
    finally:
        for end in theirs.values():
            end.close()
    return process, ours


def stop(process: subprocess.Popen[bytes]) -> None:
    """End QEMU at once; its disks are snapshots and need no care."""
    if process.poll() is None:
        process.kill()
        process.wait()


def in_memory(name: str, content: bytes = b"") -> int:
    """A descriptor of a file that exists in memory only."""
    descriptor = os.memfd_create(name)
    with os.fdopen(os.dup(descriptor), "wb") as handle:
        handle.write(content)
    return descriptor


def _escaped(path: str) -> str:
    """A path in a QEMU option: a comma is written twice."""
    return path.replace(",", ",,")
