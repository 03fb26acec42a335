"""Debian packages without installing them: a private apt, its keyring, and ext4 from a tree."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from . import mirror
from .errors import VmError
from .run import run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class PrivateApt:
    """An apt of our own in a temporary directory: the machine's packages and lists stay untouched."""

    def __init__(self, site: mirror.Mirror, suites: tuple[str, ...]) -> None:
        self.site = site
        self.suites = suites

    def __enter__(self) -> PrivateApt:
        self._scratch = tempfile.TemporaryDirectory(prefix="udptrace-apt-")
        self.root = Path(self._scratch.name)
        try:
            self._prepare()
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scratch.cleanup()

    def kernel_package(self, kind: str) -> str:
        """The package that `linux-image-amd64` (or -headers-) stands for at this time."""
        record = self._apt("apt-cache", "show", "--no-all-versions", f"{kind}-amd64")
        for name in _depends(record):
            if re.match(rf"{kind}-\d", name):
                return name
        raise VmError(f"{' '.join(self.suites)} on {self.site.main} has no {kind}-amd64")

    def depends(self, package: str) -> list[str]:
        """The names of what a package depends on (the first of alternatives)."""
        return _depends(self._apt("apt-cache", "show", "--no-all-versions", package))

    def unpack(self, packages: list[str], tree: Path) -> None:
        """Download the packages and unpack them into `tree`."""
        self._apt("apt-get", "download", *packages)
        for package in sorted(self.root.glob("*.deb")):
            run(["dpkg-deb", "-x", str(package), str(tree)], f"unpack {package.name}")
            package.unlink()

    def _prepare(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self.root / name).mkdir(parents=True)
        (self.root / "status").touch()
        keys = keyring(self.site, self.suites[0])
        (self.root / "etc/sources.list").write_text(self.site.sources(self.suites, keys))
        (self.root / "apt.conf").write_text(self._configuration())
        # apt drops to a user of its own for downloads, who has to get in.
        self.root.chmod(0o755)
        self._apt("apt-get", "update", "--error-on=any")

    def _configuration(self) -> str:
        settings = {
            "Dir::State": f"{self.root}/state",
            "Dir::State::status": f"{self.root}/status",
            "Dir::Cache": f"{self.root}/cache",
            "Dir::Etc::sourcelist": f"{self.root}/etc/sources.list",
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


def _depends(record: str) -> list[str]:
    found = re.search(r"^Depends: (.*)$", record, re.MULTILINE)
    if not found:
        return []
    return [entry.split()[0] for entry in found[1].split(",") if entry.strip()]


def keyring(site: mirror.Mirror, suite: str) -> str:
    """A keyring that can verify the suite."""
    if not os.path.exists(KEYRING):
        raise VmError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    return KEYRING


def make_ext4(tree: Path, image: Path, megabytes: int) -> None:
    """Make an ext4 image holding `tree`, without mounting anything."""
    with open(image, "wb") as handle:
        handle.truncate(megabytes * 1024 * 1024)
    # No journal: the guest's writes are thrown away after each run.
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0"]
    command += ["-E", "lazy_itable_init=1", "-d", str(tree), str(image)]
    run([*command], f"make {image.name} with mke2fs")


def remove_tree(tree: Path) -> None:
    """Remove a directory tree, if it is there."""
    shutil.rmtree(tree, ignore_errors=True)
