"""Which kernel modules the images keep, and in which order the first ones are loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

from .errors import VmError

# Drivers of hardware that QEMU does not have here: most of the size, none of the use.
DROPPED = (
    "kernel/sound", "kernel/drivers/gpu", "kernel/drivers/media", "kernel/drivers/infiniband",
    "kernel/drivers/net/ethernet", "kernel/drivers/net/wireless", "kernel/drivers/net/usb",
    "kernel/drivers/net/can", "kernel/drivers/net/wwan", "kernel/drivers/staging",
    "kernel/drivers/scsi", "kernel/drivers/iio", "kernel/drivers/hid", "kernel/drivers/input",
    "kernel/drivers/usb", "kernel/drivers/hwmon", "kernel/drivers/platform",
    "kernel/drivers/accel", "kernel/drivers/bluetooth", "kernel/drivers/isdn",
    "kernel/drivers/mtd", "kernel/drivers/video", "kernel/drivers/firewire",
    "kernel/drivers/comedi", "kernel/drivers/thunderbolt", "kernel/drivers/ata",
    "kernel/drivers/i2c", "kernel/drivers/leds", "kernel/drivers/regulator",
    "kernel/drivers/edac", "kernel/drivers/mmc", "kernel/drivers/nfc", "kernel/drivers/mfd",
    "kernel/net/bluetooth", "kernel/net/mac80211", "kernel/net/wireless", "kernel/net/nfc",
    "kernel/arch/x86/kvm", "kernel/fs/xfs", "kernel/fs/btrfs", "kernel/fs/ocfs2",
    "kernel/fs/f2fs", "kernel/fs/bcachefs", "kernel/fs/gfs2", "kernel/fs/ubifs",
)  # fmt: skip

# Loaded before the root file system is there. One that a kernel lacks is built in, or not needed
# by it: ext4 asked the crypto layer for crc32c until 6.13.
EARLY = ("virtio_pci", "virtio_blk", "crc32c_generic", "crc32c_intel", "ext4", "virtio_console")
SHARE = ("9pnet_virtio", "9p")


def drop_unused(found: Path, dropped: tuple[str, ...]) -> None:
    """Remove the directories of modules no test needs."""
    for name in dropped:
        shutil.rmtree(found / name, ignore_errors=True)


def load_order(found: Path, wanted: tuple[str, ...]) -> list[str]:
    """The files to insmod for the wanted modules, each after those it needs."""
    depends = _read_depends(found / "modules.dep")
    built_in = {_name(line) for line in (found / "modules.builtin").read_text().split()}
    by_name = {_name(path): path for path in depends}
    order: list[str] = []

    def add(path: str) -> None:
        for needed in depends[path]:
            add(needed)
        if path not in order:
            order.append(path)

    for name in wanted:
        if name in by_name:
            add(by_name[name])
        elif name not in built_in and not name.startswith("crc32c"):
            raise VmError(f"the kernel has no module {name}, without which it cannot boot here")
    return order


def _read_depends(path: Path) -> dict[str, list[str]]:
    depends = {}
    for line in path.read_text().splitlines():
        name, _, needed = line.partition(":")
        depends[name] = needed.split()
    return depends


def _name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")
