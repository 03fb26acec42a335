"""Builds a suite's user space: mmdebstrap makes the tree, mke2fs the image; mounts nothing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import archive, cache, mirror, recipes
from .cpio import Cpio
from .errors import VmError
from .progress import Progress
from .run import run_logged

TRIES = 3


@dataclass(frozen=True)
class BaseImage:
    """A suite's built user space."""

    directory: Path

    @property
    def root(self) -> Path:
        """The ext4 image."""
        return self.directory / "root.ext4"

    @property
    def initramfs(self) -> Path:
        """The initramfs's part with its shell and tools."""
        return self.directory / "initramfs.cpio"


def base_image(suite: str) -> BaseImage:
    """The image with the suite's user space, built when there is none."""
    recipe = recipes.suite_recipe(suite)

    def build(target: Path) -> None:
        progress = Progress(f"Debian {suite} image")
        try:
            _build(recipe, target, progress)
        finally:
            progress.close()

    return BaseImage(cache.image(f"base-{suite}", recipes.key(recipe), build))


def _build(recipe: recipes.Recipe, target: Path, progress: Progress) -> None:
    progress.step("looking for the mirror")
    site = mirror.find()
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        keyring = archive.keyring(Path(scratch), site, recipe.suite)
        tree = Path(scratch) / "tree"
        bootstrap(recipe, site, keyring, tree, progress)
        _write_files(recipe, tree)
        progress.step("making the file system")
        (target / "initramfs.cpio").write_bytes(_initramfs(recipe, tree))
        archive.make_ext4(tree, target / "root.ext4", recipe.megabytes)
        progress.step("cleaning up")
    progress.done("ready")


def bootstrap(
    recipe: recipes.Recipe, site: mirror.Mirror, keyring: Path, tree: Path, progress: Progress
) -> None:
    """A tree with the recipe's packages and no other file of its. Raises VmError."""
    suites = (recipe.suite, f"{recipe.suite}-updates", f"{recipe.suite}-security")
    # In namespaces of its own: what it mounts in the tree is never seen from outside, and an
    # interrupted build leaves no process behind.
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += ["env", f"TMPDIR={tree.parent}", f"APT_CONFIG={_no_keys(tree.parent)}"]
    command += ["mmdebstrap", "--mode=root", "--format=directory", "--variant=apt"]
    command += ["--verbose"]
    command += [f"--include={package}" for package in recipe.packages]
    command += [f"--aptopt={option}" for option in mirror.apt_options()]
    command += ['--aptopt=APT::Install-Recommends "false"']
    command += [f"--dpkgopt=path-exclude={path}" for path in recipe.excludes]
    # The image is thrown away when its build is interrupted: no need to wait for the disk.
    command += ["--dpkgopt=force-unsafe-io"]
    # The machine's own settings (a proxy's password, perhaps) are not for the image.
    command += ['--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap']
    command += [recipe.suite, str(tree)]
    sources = site.sources(suites, str(keyring))
    for attempt in range(1, TRIES + 1):
        progress.step("downloading and unpacking packages")
        log = run_logged([*command, "-"], progress, stdin=sources)
        if log is None:
            return
        archive.remove_tree(tree)
        if attempt < TRIES:
            progress.step(f"failed, trying again ({attempt} of {TRIES - 1})")
    raise VmError(
        f"mmdebstrap could not make the {recipe.suite} image from {site.main}; "
        "check the network or set DEBIAN_MIRROR",
        log or "",
    )


def _no_keys(scratch: Path) -> Path:
    """An apt.conf that hides the machine's own keys from mmdebstrap.

    The sources name their keyring. Older versions still read all others, and fail on armored ones.
    """
    (scratch / "trusted").mkdir(exist_ok=True)
    settings = {"trusted": scratch / "trusted.gpg", "trustedparts": f"{scratch}/trusted/"}
    configuration = scratch / "no-keys.conf"
    configuration.write_text("".join(f'Dir::Etc::{k} "{v}";\n' for k, v in settings.items()))
    return configuration


def _write_files(recipe: recipes.Recipe, tree: Path) -> None:
    for name, text in recipe.files:
        path = tree / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name in recipe.executable else 0o644)
    for directory in ("src", "share"):
        (tree / directory).mkdir(exist_ok=True)


def _initramfs(recipe: recipes.Recipe, tree: Path) -> bytes:
    """busybox, for guest/init; a kernel's modules and what a run adds come behind it."""
    cpio = Cpio()
    for directory in ("bin", "proc", "sys", "dev", "newroot"):
        cpio.directory(directory)
    cpio.file("bin/busybox", (tree / "usr/bin/busybox").read_bytes(), executable=True)
    for applet in recipe.applets:
        cpio.symlink(f"bin/{applet}", "busybox")
    return cpio.packed()
