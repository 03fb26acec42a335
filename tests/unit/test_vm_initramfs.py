"""What a guest boots from: modules in order, the cpio archive, the unpacked kernel."""

import gzip
import lzma
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from vm import modules, vmlinux
from vm.cpio import Cpio
from vm.errors import VmError


@pytest.fixture
def found(tmp_path: Path) -> Path:
    (tmp_path / "modules.dep").write_text(
        "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n"
        "kernel/fs/jbd2/jbd2.ko: kernel/lib/crc16.ko\n"
        "kernel/lib/crc16.ko:\n"
        "kernel/drivers/virtio/virtio-blk.ko:\n"
    )
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    return tmp_path


def test_a_module_is_loaded_after_what_it_needs(found: Path) -> None:
    order = modules.load_order(found, ("virtio_pci", "virtio_blk", "crc32c_intel", "ext4"))
    names = [Path(path).name for path in order]
    assert names == ["virtio-blk.ko", "crc16.ko", "jbd2.ko", "ext4.ko"]


def test_a_kernel_without_a_needed_module_is_refused(found: Path) -> None:
    with pytest.raises(VmError, match="no module virtio_console"):
        modules.load_order(found, ("virtio_console",))


def entries(archive: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Names, modes and contents of a newc archive, read as the kernel does."""
    at = 0
    while True:
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        field = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = field[1], field[6], field[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        if name == "TRAILER!!!":
            return
        content = at + 110 + name_size + -(110 + name_size) % 4
        yield name, mode, archive[content : content + size]
        at = content + size + -size % 4


def test_the_archive_reads_back() -> None:
    cpio = Cpio()
    cpio.directory("bin")
    cpio.file("/bin/tool", b"12345", executable=True)
    cpio.file("note", b"")
    cpio.symlink("bin/sh", "tool")
    assert list(entries(cpio.packed())) == [
        ("bin", 0o040755, b""),
        ("bin/tool", 0o100755, b"12345"),
        ("note", 0o100644, b""),
        ("bin/sh", 0o120777, b"tool"),
    ]
    assert len(cpio.packed()) % 4 == 0  # so that another archive can follow


def bzimage(payload: bytes) -> bytes:
    """A bzImage as the boot protocol describes it: two setup sectors, code, the packed kernel."""
    head = bytearray(3 * 512)
    head[0x1F1] = 2
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + b"\x90" * 16 + payload + b"what follows"


KERNEL = b"\x7fELF" + bytes(1000)


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_the_kernel_is_unpacked(pack: "type[bytes]") -> None:
    assert vmlinux.extract(bzimage(pack(KERNEL))) == KERNEL


def test_an_unknown_packing_is_left_to_the_bzimage() -> None:
    assert vmlinux.extract(bzimage(b"\0unknown")) is None
    assert vmlinux.extract(bzimage(lzma.compress(b"no kernel"))) is None
