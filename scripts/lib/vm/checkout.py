"""Packs the checkout into a tar archive in memory, which the guest unpacks at /src."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from .errors import VmError

# What a tree that is not a git checkout may hold and the guest has no use for.
JUNK_DIRECTORIES = {
    ".git", "__pycache__", ".venv", "venv", "node_modules", "build", "dist",
    ".mypy_cache", ".ruff_cache", ".pytest_cache", ".tox", ".cache",
}  # fmt: skip
JUNK_ENDINGS = (".pyc", ".egg-info")


def root() -> Path:
    """The checkout which this script is part of."""
    return Path(__file__).resolve().parents[3]


def files(tree: Path) -> list[str]:
    """The paths to pack: what git tracks or would add, else everything but junk."""
    if (tree / ".git").exists():
        command = ["git", "-C", str(tree), "-c", f"safe.directory={tree}"]
        command += ["ls-files", "-z", "-co", "--exclude-standard"]
        try:
            result = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            return _walk(tree)
        if result.returncode == 0:
            found = {os.fsdecode(name) for name in result.stdout.split(b"\0") if name}
            return sorted(name for name in found if os.path.lexists(tree / name))
    return _walk(tree)


def _walk(tree: Path) -> list[str]:
    found = []
    for directory, subdirectories, names in os.walk(tree):
        subdirectories[:] = [
            name
            for name in subdirectories
            if name not in JUNK_DIRECTORIES and not name.endswith(JUNK_ENDINGS)
        ]
        for name in names:
            if not name.endswith(JUNK_ENDINGS):
                found.append(os.path.relpath(os.path.join(directory, name), tree))
    return sorted(found)


def pack(tree: Path) -> int:
    """Pack the tree; returns the file descriptor of an archive that exists in memory only."""
    descriptor = os.memfd_create("checkout")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as handle:
            with tarfile.open(fileobj=handle, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for name in files(tree):
                    archive.add(tree / name, name, recursive=False, filter=_as_root)
            # A disk has whole sectors, and tar's end is two empty blocks at least.
            handle.write(b"\0" * (-handle.tell() % 4096))
    except OSError as error:
        os.close(descriptor)
        raise VmError(f"cannot pack the checkout: {error}") from error
    return descriptor


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
