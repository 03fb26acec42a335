"""The QEMU command line of a guest, and the process that runs it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .errors import VmError

QEMU = "qemu-system-x86_64"
PORTS = ("ctl", "out", "err")
# Kernel parameters: end on a panic; no need to protect a guest that lives for one command.
PARAMETERS = "console=ttyS0 loglevel=4 panic=-1 mitigations=off random.trust_cpu=on rdinit=/init"
PR_SET_PDEATHSIG = 1


@dataclass
class Machine:
    """What a guest is made of."""

    kernel: Path
    initramfs: int  # file descriptors are passed on: nothing is left behind in the file system
    console: int
    accelerator: str
    memory: int
    icount: bool = False
    disks: dict[str, str] = field(default_factory=dict)  # serial: file
    share: Path | None = None
    descriptors: list[int] = field(default_factory=list)

    def command(self, ports: dict[str, int]) -> list[str]:
        """The QEMU command line; `ports` are sockets by name."""
        command = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-name", "udptrace-vm", "-m", str(self.memory), *self._processor()]
        command += ["-kernel", str(self.kernel), "-initrd", f"/proc/self/fd/{self.initramfs}"]
        command += ["-append", PARAMETERS]
        command += ["-chardev", f"file,id=console,path=/proc/self/fd/{self.console},append=on"]
        command += ["-serial", "chardev:console"]
        for serial, path in self.disks.items():
            command += ["-drive", f"file={_escaped(path)},format=raw,if=none,id={serial},"
                        "snapshot=on,cache=unsafe,file.locking=off"]  # fmt: skip
            command += ["-device", f"virtio-blk-pci,drive={serial},serial={serial}"]
        command += ["-device", "virtio-serial-pci"]
        for number, name in enumerate(PORTS, 1):
            command += ["-chardev", f"socket,id={name},fd={ports[name]}"]
            command += ["-device", f"virtserialport,nr={number},chardev={name},name={name}"]
        if self.share is not None:
            command += ["-fsdev", f"local,id=share,path={_escaped(str(self.share))},"
                        "security_model=none,multidevs=remap"]  # fmt: skip
            command += ["-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        return command

    def _processor(self) -> list[str]:
        if self.icount:
            return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off",
                    "-smp", "1", "-cpu", "max,la57=off"]  # fmt: skip
        if self.accelerator == "kvm":
            return ["-accel", "kvm", "-smp", "2", "-cpu", "host"]
        # Five-level page tables only make emulated memory slower.
        return ["-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max,la57=off"]


def start(machine: Machine) -> tuple[subprocess.Popen[bytes], dict[str, socket.socket]]:
    """Start QEMU; returns it and our ends of its ports."""
    ours, theirs = {}, {}
    for name in PORTS:
        ours[name], theirs[name] = socket.socketpair()
    inherited = {name: end.fileno() for name, end in theirs.items()}
    command = machine.command(inherited)
    descriptors = [*inherited.values(), machine.initramfs, machine.console, *machine.descriptors]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=machine.console,
            stderr=machine.console,
            pass_fds=descriptors,
            preexec_fn=_end_with_parent,
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


def _end_with_parent() -> None:
    """Runs in the child: have the kernel end it when scripts/vm ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)


def _escaped(path: str) -> str:
    """A path in a QEMU option: a comma is written twice."""
    return path.replace(",", ",,")
