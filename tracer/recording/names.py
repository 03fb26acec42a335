"""The names of the files of one recording: what tells them apart stands at the end, before .gz."""

from __future__ import annotations

GZ = ".gz"


def numbered(path: str, number: int) -> str:
    """The name of a part: FILE itself, then FILE.1, FILE.2 and so on, as `tcpdump -C` counts."""
    return path if number == 0 else _with(path, f".{number}")


def stamped(path: str, utc: str, number: int) -> str:
    """The name of what a ring holds at a time: such names sort as they were written."""
    return _with(path, f".{utc}.{number:04}")


def _with(path: str, tail: str) -> str:
    stem = path.removesuffix(GZ)
    return stem + tail + path[len(stem) :]
