"""What of the checkout goes to the guest."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from vm import checkout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.py", "deep/b.py", "deep/__pycache__/b.pyc", ".venv/bin/python", "new name"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "a.py").chmod(0o755)
    (tmp_path / "link").symlink_to("a.py")
    (tmp_path / ".gitignore").write_text("__pycache__/\n.venv/\n")
    return tmp_path


def git(tree: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(tree), *arguments], check=True, capture_output=True)


def test_an_unpacked_tarball_loses_its_junk(tree: Path) -> None:
    assert checkout.files(tree) == [".gitignore", "a.py", "deep/b.py", "link", "new name"]


def test_a_git_checkout_is_what_git_knows_or_would_add(tree: Path) -> None:
    git(tree, "init", "-q")
    git(tree, "add", "a.py", "deep/b.py")
    (tree / "deep" / "b.py").unlink()  # deleted, not yet committed
    assert checkout.files(tree) == [".gitignore", "a.py", "link", "new name"]


def test_a_broken_git_checkout_is_still_packed(tree: Path) -> None:
    (tree / ".git").write_text("gitdir: /nowhere\n")
    assert "a.py" in checkout.files(tree)


def test_the_archive_belongs_to_root_and_fills_whole_sectors(tree: Path) -> None:
    descriptor = checkout.pack(tree)
    with os.fdopen(descriptor, "rb") as handle:
        assert handle.seek(0, os.SEEK_END) % 512 == 0
        handle.seek(0)
        with tarfile.open(fileobj=handle) as archive:
            members = {member.name: member for member in archive}
            script = members["a.py"]
            assert (script.uid, script.mode & 0o777) == (0, 0o755)
            assert members["link"].linkname == "a.py"


def test_the_checkout_is_this_one() -> None:
    assert (checkout.root() / "scripts" / "vm").is_file()
