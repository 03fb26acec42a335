"""Debian packages without installing them: a private apt, its keyring, and ext4 from a tree."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from . import mirror
from .errors import VmError
from .run import run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


# Releases whose keyring package holds the next one's keys, oldest first.
RELEASES = ("bullseye", "bookworm", "trixie")


class PrivateApt:
    """An apt of our own in a directory: the machine's lists and packages stay untouched."""

    def __init__(
        self, root: Path, site: mirror.Mirror, suites: tuple[str, ...], keys: Path
    ) -> None:
        self.root = root
        self.site = site
        for name in ("state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        (root / "sources.list").write_text(site.sources(suites, str(keys)))
        (root / "apt.conf").write_text(self._configuration())

    def update(self) -> None:
        """Download the suites' package lists."""
        self._apt("apt-get", "update", "--error-on=any")

    def verifies(self) -> bool:
        """Whether the keyring verifies the suites; downloads nothing but their signed heads."""
        command = ["apt-get", "update", "--error-on=any"]
        command += ["-o", "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false"]
        try:
            self._apt(*command)
        except VmError as error:
            if "NO_PUBKEY" in error.details or "Missing key" in error.details:
                return False
            raise
        return True

    def kernel_package(self, kind: str) -> str:
        """The package that `linux-image-amd64` stands for at this time."""
        for name in self.depends(f"{kind}-amd64"):
            if re.match(rf"{kind}-\d", name):
                return name
        raise VmError(f"{self.site.main} has no {kind}-amd64 where it is looked for")

    def depends(self, package: str) -> list[str]:
        """The names of what a package depends on (the first of alternatives)."""
        record = self._apt("apt-cache", "show", "--no-all-versions", package)
        found = re.search(r"^Depends: (.*)$", record, re.MULTILINE)
        entries = found[1].split(",") if found else []
        return [entry.split()[0] for entry in entries if entry.strip()]

    def unpack(self, packages: list[str], tree: Path) -> None:
        """Download the packages and unpack them into `tree`."""
        self._apt("apt-get", "download", *packages)
        for package in sorted(self.root.glob("*.deb")):
            run(["dpkg-deb", "-x", str(package), str(tree)], f"unpack {package.name}")
            package.unlink()

    def _configuration(self) -> str:
        settings = {
            "Dir::State": f"{self.root}/state",
            "Dir::State::status": f"{self.root}/status",
            "Dir::Cache": f"{self.root}/cache",
            "Dir::Etc::sourcelist": f"{self.root}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
        }
        lines = [f'{name} "{value}";' for name, value in settings.items()]
        return "\n".join((*lines, *mirror.apt_options())) + "\n"

    def _apt(self, *command: str) -> str:
        environment = ["env", "-C", str(self.root), f"APT_CONFIG={self.root}/apt.conf", "LC_ALL=C"]
        what = f"get packages from {self.site.main}; check the network or set DEBIAN_MIRROR"
        return run([*environment, *command], what)


def open_apt(scratch: Path, site: mirror.Mirror, suites: tuple[str, ...]) -> PrivateApt:
    """A private apt for the suites, its lists downloaded and verified."""
    apt = PrivateApt(scratch / "apt", site, suites, keyring(scratch, site, suites[0]))
    apt.update()
    return apt


def keyring(scratch: Path, site: mirror.Mirror, suite: str, first: Path = KEYRING) -> Path:
    """A keyring that verifies the suite.

    An older machine knows the keys of the Debian releases of its time only. Each release's keyring
    package holds the next one's keys and is verified with those we have: so we climb.
    """
    if not first.exists():
        raise VmError(f"{first} is missing: apt-get install debian-archive-keyring")
    if PrivateApt(scratch / "keys", site, (suite,), first).verifies():
        return first
    known = first
    for release in RELEASES:
        step = scratch / f"keys-{release}"
        apt = PrivateApt(step, site, (release,), known)
        if apt.verifies():
            apt.update()
            apt.unpack(["debian-archive-keyring"], step / "tree")
            known = step / "tree" / KEYRING.relative_to("/")
    if PrivateApt(scratch / "keys", site, (suite,), known).verifies():
        return known
    raise VmError(
        f"cannot verify the signature of {suite} on {site.main}: "
        "upgrade the package debian-archive-keyring"
    )


def make_ext4(tree: Path, image: Path, megabytes: int) -> None:
    """Make an ext4 image holding `tree`, without mounting anything."""
    with open(image, "wb") as handle:
        handle.truncate(megabytes * 1024 * 1024)
    # No journal: the guest's writes are thrown away after each run.
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0"]
    command += ["-E", "lazy_itable_init=1", "-d", str(tree), str(image)]
    run(command, f"make {image.name} with mke2fs")


def megabytes(tree: Path) -> int:
    """The size a file system needs for the tree."""
    # 8 KiB more for each file: its inode and the rest of its last block.
    total = sum(path.lstat().st_size + 8192 for path in tree.rglob("*"))
    return total // (1024 * 1024) + 1


def remove_tree(tree: Path) -> None:
    """Remove a directory tree, if it is there."""
    shutil.rmtree(tree, ignore_errors=True)
