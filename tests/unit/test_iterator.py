"""Why the socket iterator cannot be had: one line each, and nothing is left loaded."""

from __future__ import annotations

import ctypes
import errno

import pytest

from tracer.errors import StartError
from tracer.findings import broken, ok
from tracer.kernel import features, iterator
from tracer.kernel.bytecode import Bytecode
from tracer.kernel.compiler import Compiled
from tracer.kernel.iterator import SocketIterator
from tracer.kernel.layout import ITERATED, ITERATED_BITS
from tracer.resources import bpf_dir


class Loaded:
    """A program in the kernel, or one that it refused."""

    def __init__(self, loads: bool = True) -> None:
        self.loads, self.closed = loads, False

    def load(self, name: str, kind: int) -> int:
        if not self.loads:
            raise OSError(errno.EACCES, "Permission denied")
        return -1

    def close(self) -> None:
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


def test_without_rights_nothing_is_compiled(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(iterator, "summary", lambda: broken("capabilities", "not allowed", "be root"))
    machine.setattr(iterator, "compiled", lambda *given: pytest.fail("BCC was asked"))
    with pytest.raises(StartError, match=r"^not allowed: be root$"):
        SocketIterator()


@pytest.mark.parametrize(
    ("loaded", "why"),
    [
        (
            Loaded(loads=False),
            "the socket iterator cannot be loaded: the kernel's verifier refused",
        ),
        # Such a library is BCC's before it knew of iterators.
        (Loaded(), "the socket iterator cannot be loaded: "),
    ],
)
def test_what_does_not_load(machine: pytest.MonkeyPatch, loaded: Loaded, why: str) -> None:
    machine.setattr(iterator, "compiled", lambda *given: Compiled(Bytecode((), {}), None))
    machine.setattr(iterator, "Loaded", lambda code: loaded)
    machine.setattr(iterator, "library", lambda: ctypes.CDLL(None))
    machine.setattr(features, "LOCKDOWN", features.SYSFS / "none")
    with pytest.raises(StartError, match=why):
        SocketIterator()
    assert loaded.closed


def test_the_c_source_reads_all_that_the_layout_defines() -> None:
    """An offset that nobody reads, and a kernel lacks, would cost the iterator in vain."""
    source = (bpf_dir() / "sockets_iter.c").read_text()
    for name in (*ITERATED, *ITERATED_BITS):
        assert f"OFF_{name}" in source, name
