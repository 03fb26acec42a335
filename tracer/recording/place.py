"""The way to the directory of a recording: through no symbolic link that anybody may have put."""

from __future__ import annotations

import errno
import os
import stat

_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_LINKS = 40
"""As many symbolic links as the kernel follows on one way."""


class PlantedLinkError(OSError):
    """On the way is a symbolic link in a directory where every user may make one."""

    def __init__(self, name: str) -> None:
        why = f"`{name}` on the way is a symbolic link in a directory that everybody may write"
        super().__init__(errno.ELOOP, why)


def open_directory(path: str) -> int:
    """A descriptor (O_PATH) of the directory. Raises OSError."""
    directory = os.open("/" if path.startswith("/") else ".", _FLAGS)
    names, followed = _names(path), 0
    try:
        while names:
            name = names.pop()
            below = _enter(directory, name)
            if below is None:
                target = _target(directory, name)
                followed += 1
                if followed > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                names += _names(target)
                if not target.startswith("/"):
                    continue
                below = os.open("/", _FLAGS)
            os.close(directory)
            directory = below
    except BaseException:
        os.close(directory)
        raise
    return directory


def is_public(directory: int) -> bool:
    """Whether everybody may make files in an open directory."""
    return bool(os.fstat(directory).st_mode & stat.S_IWOTH)


def _names(path: str) -> list[str]:
    """The steps of a path, the last first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _enter(directory: int, name: str) -> int | None:
    """One step down; None if it is a symbolic link, or no directory."""
    try:
        return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        return None


def _target(directory: int, name: str) -> str:
    """Where a symbolic link leads. Raises OSError for what is none, or may be anybody's."""
    try:
        target = os.readlink(name, dir_fd=directory)
    except OSError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    if is_public(directory):
        raise PlantedLinkError(name)
    return target
