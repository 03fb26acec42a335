"""Builds an image of a kernel's headers, for other tracers: udptrace works without them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import archive, cache, mirror, recipes
from .kernel_image import KernelImage
from .kernels import Kernel
from .progress import Progress


@dataclass(frozen=True)
class HeadersRecipe:
    """Everything that decides what a kernel's headers image holds."""

    release: str
    suites: tuple[str, ...]
    version: int = 1  # to be raised when the building code changes what is built


def headers_image(kernel: Kernel, built: KernelImage) -> Path:
    """The image with what belongs in /usr/src, built when there is none."""
    recipe = HeadersRecipe(built.release, kernel.suites)

    def build(target: Path) -> None:
        progress = Progress(f"headers of {built.release}")
        try:
            _build(recipe, target, progress)
        finally:
            progress.close()

    return cache.image(f"headers-{kernel.name}", recipes.key(recipe), build) / "headers.ext4"


def _build(recipe: HeadersRecipe, target: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        tree = Path(scratch) / "tree"
        progress.step("downloading and unpacking them")
        apt = archive.open_apt(Path(scratch), mirror.find(), recipe.suites)
        package = f"linux-headers-{recipe.release}"
        parts = [name for name in apt.depends(package) if name.startswith("linux-headers-")]
        apt.unpack([package, *parts], tree)
        sources = tree / "usr/src"
        archive.make_ext4(sources, target / "headers.ext4", archive.megabytes(sources) + 16)
    progress.done("ready")
