"""Why the socket iterator cannot be had: one line each, and nothing is left loaded."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from tracer.errors import StartError
from tracer.findings import broken, ok
from tracer.kernel import features, iterator
from tracer.kernel.iterator import SocketIterator
from tracer.kernel.layout import ITERATED, ITERATED_BITS
from tracer.resources import bpf_dir

LIBC = ctypes.CDLL(None)._name


class Bcc:
    """A BCC whose program loads, or does not, and whose library is ``library``."""

    class BPF:
        """Its constants."""

        TRACING = 26

    def __init__(self, loads: bool = True, library: str | None = LIBC) -> None:
        self.loads, self.closed = loads, False
        self.lib = type("Library", (), {"_name": library})

    def load_func(self, name: bytes, kind: int) -> Any:
        if not self.loads:
            raise RuntimeError("refused")
        return type("Function", (), {"fd": -1})

    def cleanup(self) -> None:
        self.closed = True


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One that has all it takes but for the kernel."""
    monkeypatch.setattr(iterator, "summary", lambda: ok("capabilities", "all"))
    monkeypatch.setattr(features, "architecture", lambda: ok("architecture", "x86-64"))
    monkeypatch.setattr(iterator, "Btf", Types)
    monkeypatch.setattr(iterator, "iterator_definitions", lambda btf: {})
    return monkeypatch


class Types:
    """BTF that nobody reads."""

    def close(self) -> None:
        """Nothing to give back."""


def test_without_rights_nothing_is_imported(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(iterator, "summary", lambda: broken("capabilities", "not allowed", "be root"))
    machine.setattr(iterator, "import_bcc", lambda: pytest.fail("BCC was imported"))
    with pytest.raises(StartError, match=r"^not allowed: be root$"):
        SocketIterator()


@pytest.mark.parametrize(
    ("bcc", "why"),
    [
        (Bcc(loads=False), "the socket iterator cannot be loaded: the kernel's verifier refused"),
        # Such a library is BCC's before it knew of iterators.
        (Bcc(), "the socket iterator cannot be loaded: "),
    ],
)
def test_what_does_not_load(machine: pytest.MonkeyPatch, bcc: Bcc, why: str) -> None:
    machine.setattr(iterator, "import_bcc", lambda: bcc)
    machine.setattr(iterator, "compile_source", lambda *given: bcc)
    machine.setattr(features, "LOCKDOWN", features.SYSFS / "none")
    with pytest.raises(StartError, match=why):
        SocketIterator()
    assert bcc.closed


def test_the_c_source_reads_all_that_the_layout_defines() -> None:
    """An offset that nobody reads, and a kernel lacks, would cost the iterator in vain."""
    source = (bpf_dir() / "sockets_iter.c").read_text()
    for name in (*ITERATED, *ITERATED_BITS):
        assert f"OFF_{name}" in source, name
