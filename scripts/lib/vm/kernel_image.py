"""Builds what a kernel needs to boot: vmlinuz, an image of its modules, and its initramfs."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import archive, cache, mirror, modules, recipes, vmlinux
from .cpio import Cpio
from .errors import VmError
from .kernels import Kernel
from .progress import Progress
from .run import run


@dataclass(frozen=True)
class KernelRecipe:
    """Everything that decides what a kernel's image holds."""

    series: str
    suites: tuple[str, ...]
    dropped: tuple[str, ...] = modules.DROPPED
    early: tuple[str, ...] = modules.EARLY
    share: tuple[str, ...] = modules.SHARE
    version: int = 2  # to be raised when the building code changes what is built


@dataclass(frozen=True)
class KernelImage:
    """A built kernel."""

    directory: Path
    release: str  # what `uname -r` says

    @property
    def kernel(self) -> Path:
        """What QEMU starts: vmlinux, or vmlinuz."""
        return self.directory / "kernel"

    @property
    def modules(self) -> Path:
        """The ext4 image of its modules."""
        return self.directory / "modules.ext4"

    @property
    def initramfs(self) -> Path:
        """The initramfs's part with the modules needed first."""
        return self.directory / "initramfs.cpio"


def kernel_image(kernel: Kernel) -> KernelImage:
    """The kernel's image, built when there is none."""
    recipe = KernelRecipe(kernel.series, kernel.suites)

    def build(target: Path) -> None:
        progress = Progress(f"Linux {kernel.series}")
        try:
            _build(recipe, target, progress)
        finally:
            progress.close()

    directory = cache.image(f"kernel-{kernel.name}", recipes.key(recipe), build)
    about = json.loads((directory / "about.json").read_text())
    return KernelImage(directory, about["release"])


def _build(recipe: KernelRecipe, target: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        tree = Path(scratch) / "tree"
        release = _download(recipe, Path(scratch), tree, progress)
        progress.step(f"preparing the modules of {release}")
        found = _move_to_usr(tree, release)
        packed = _vmlinuz(tree, release).read_bytes()
        (target / "kernel").write_bytes(vmlinux.extract(packed) or packed)
        modules.drop_unused(found, recipe.dropped)
        _decompress(found)
        run(["depmod", "-b", str(tree), release], "run depmod")
        (target / "initramfs.cpio").write_bytes(_initramfs(recipe, found))
        archive.make_ext4(found, target / "modules.ext4", archive.megabytes(found) + 64)
    (target / "about.json").write_text(json.dumps({"release": release}))
    progress.done(f"{release} ready")


def _download(recipe: KernelRecipe, scratch: Path, tree: Path, progress: Progress) -> str:
    progress.step("looking for it on the mirror")
    apt = archive.open_apt(scratch, mirror.find(), recipe.suites)
    package = apt.kernel_package("linux-image")
    release = package[len("linux-image-") :]
    # Since 7.0 the package is empty, and its parts come in packages of their own.
    parts = [name for name in apt.depends(package) if name.endswith(f"-{release}")]
    progress.step(f"downloading and unpacking {package}")
    apt.unpack([package, *parts], tree)
    return release


def _move_to_usr(tree: Path, release: str) -> Path:
    """Older packages have their modules in /lib: put them where the new ones do."""
    old, new = tree / "lib/modules" / release, tree / "usr/lib/modules" / release
    if old.exists():
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)
    if not new.exists():
        raise VmError(f"the kernel package holds no modules for {release}")
    # depmod looks in lib/modules, newer ones in usr/lib/modules: make them the same.
    shutil.rmtree(tree / "lib", ignore_errors=True)
    (tree / "lib").symlink_to("usr/lib")
    return new


def _vmlinuz(tree: Path, release: str) -> Path:
    for place in (tree / f"boot/vmlinuz-{release}", tree / f"usr/lib/modules/{release}/vmlinuz"):
        if place.exists():
            return place
    raise VmError(f"the kernel package holds no vmlinuz for {release}")


def _decompress(found: Path) -> None:
    """Unpack compressed modules: under emulation the guest would take seconds for it."""
    for path in found.rglob("*.ko.xz"):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    packed = [str(path) for path in found.rglob("*.ko.zst")]
    if packed:
        subprocess.run(["zstd", "-q", "-d", "--rm", *packed], check=True)


def _initramfs(recipe: KernelRecipe, found: Path) -> bytes:
    """The modules up to the root file system, in the order in which guest/init loads them."""
    cpio = Cpio()
    cpio.directory("modules")
    done: list[str] = []
    for kind, wanted in (("early", recipe.early), ("share", recipe.share)):
        order = [path for path in modules.load_order(found, wanted) if path not in done]
        done += order
        for path in order:
            cpio.file(f"modules/{Path(path).name}", (found / path).read_bytes())
        cpio.file(f"modules/{kind}", "".join(f"{Path(p).name}\n" for p in order).encode())
    return cpio.packed()
