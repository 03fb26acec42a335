"""The homes of this machine's users, where rootless engines keep their state."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.system.containers.files import read

# Of adduser and login.defs; root's engines have directories of their own.
_FIRST_UID = 1000

_MOST = 1000
"""Homes looked into."""


@dataclass(frozen=True)
class Home:
    """A user's."""

    uid: int
    path: str


def homes(root: str = "") -> tuple[Home, ...]:
    """Those of the people in /etc/passwd, in its order: a directory service that does not answer
    must not hold a trace up."""
    found = []
    for line in read(f"{root}/etc/passwd").decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdecimal() and fields[5].startswith("/"):
            found.append(Home(int(fields[2]), root + fields[5]))
    return tuple(home for home in found if home.uid >= _FIRST_UID)[:_MOST]
