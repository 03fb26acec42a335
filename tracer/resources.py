"""Where the BPF sources and the stub headers are: in the wheel, or beside a checkout."""

from __future__ import annotations

from pathlib import Path

from tracer.errors import UdptraceError

_PACKAGE = Path(__file__).resolve().parent


def bpf_dir() -> Path:
    """The directory that holds udptrace.c, events.h and stubs/. Raises UdptraceError."""
    for candidate in (_PACKAGE / "_bpf", _PACKAGE.parent / "bpf"):
        if (candidate / "udptrace.c").is_file():
            return candidate
    raise UdptraceError(
        f"the BPF sources are missing beside {_PACKAGE}: install udptrace again, whole"
    )
