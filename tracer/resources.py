"""Where the BPF sources and the stub header tree are: inside the wheel, or in a checkout."""

from __future__ import annotations

from pathlib import Path

from tracer.errors import UdptraceError


def bpf_dir() -> Path:
    """The BPF sources' directory: ``tracer/_bpf`` when installed, else the checkout's ``bpf``.

    Raises UdptraceError when neither is there (a damaged installation).
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "_bpf", package.parent / "bpf"):
        if candidate.is_dir():
            return candidate
    raise UdptraceError(f"the BPF sources are missing from {package}: install udptrace again")
