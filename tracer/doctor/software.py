"""Versions: of this program, of Python and the modules it uses, of the kernel."""

from __future__ import annotations

import platform
from importlib import metadata

from tracer import __version__
from tracer.findings import Finding, ok

_MODULES = ("click", "tabulate")


def versions() -> Finding:
    """This program's, Python's and its modules'; BCC, of the distribution, is a step of its own."""
    modules = {name: _version(name) for name in _MODULES}
    parts = [f"{name} {version or 'not installed'}" for name, version in modules.items()]
    python = platform.python_version()
    words = ", ".join([__version__, f"Python {python}", *parts])
    return ok("udptrace", words, version=__version__, python=python, **modules)


def kernel() -> Finding:
    """For information: what the kernel can do is found out, not concluded from its version."""
    release, version = platform.release(), platform.version()
    return ok("kernel", f"{platform.system()} {release}", release=release, version=version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
