"""The image cache: built once, never half, one builder at a time, old images cleaned away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import VmError

# Another checkout with another recipe may be in use at the same time: its images are left alone.
KEEP_USED_WITHIN_SECONDS = 3600


def directory() -> Path:
    """Where images are kept: outside the checkout."""
    given = os.environ.get("UDPTRACE_CACHE")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "udptrace"


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock `name`; says so when it has to wait for another process."""
    root = directory()
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = (root / f"{name}.lock").open("w")
    except OSError as error:
        raise VmError(
            f"cannot write to the cache {root}: {error.strerror}; set UDPTRACE_CACHE elsewhere"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"vm: waiting for another build of {name}", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def image(name: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory of image `name` with that key; `build` fills a new one when there is none."""
    finished = directory() / f"{name}-{key}"
    if _use(finished):
        return finished
    with lock(name):
        if _use(finished):
            return finished
        _remove_old(name, finished)
        partial = directory() / f"{name}-{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            build(partial)
            os.rename(partial, finished)
        except OSError as error:
            raise VmError(f"cannot build {name}: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return finished


def _use(finished: Path) -> bool:
    """Whether the image is there; its time says when it was last used."""
    try:
        os.utime(finished)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    return True


def _remove_old(name: str, finished: Path) -> None:
    """Remove images of `name` made by other recipes, and what an interrupted build left."""
    for other in directory().glob(f"{name}-*"):
        if other == finished or not other.is_dir():
            continue
        age = time.time() - other.stat().st_mtime
        if age > KEEP_USED_WITHIN_SECONDS or other.suffix == ".partial":
            shutil.rmtree(other, ignore_errors=True)
