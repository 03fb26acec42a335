"""Writes cpio archives in the kernel's `newc` format: a guest's initramfs, with no tool needed."""

from __future__ import annotations

import stat

MAGIC = b"070701"


class Cpio:
    """An archive in memory; parents have to be added before what they hold."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0

    def directory(self, path: str) -> None:
        """Add a directory."""
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: bytes, executable: bool = False) -> None:
        """Add a file."""
        self._add(path, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def symlink(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def packed(self) -> bytes:
        """The whole archive; several may follow one another in one initramfs."""
        trailer = _entry("TRAILER!!!", 0, 0, b"")
        return b"".join((*self._parts, trailer))

    def _add(self, path: str, mode: int, content: bytes) -> None:
        self._inode += 1
        self._parts.append(_entry(path.lstrip("/"), self._inode, mode, content))


def _entry(name: str, inode: int, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
