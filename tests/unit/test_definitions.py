"""What is read of a kernel once, and kept for its next starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracer.kernel import btf, cache, casts, definitions, layout
from tracer.kernel.btf import MissingMember

BUILD = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
"""The head of the note that a kernel's build id is in."""


class Kernel:
    """A kernel with its name, and its types, which count how often they are read."""

    def __init__(self, directory: Path) -> None:
        self.notes, self.vmlinux = directory / "notes", directory / "vmlinux"
        self.vmlinux.write_bytes(b"types")
        self.times_read = 0
        self.lacking: set[str] = set()

    def build(self, name: bytes) -> None:
        self.notes.write_bytes(b"\0another note\0" + BUILD + name)

    def types(self) -> Kernel:
        self.times_read += 1
        return self

    def close(self) -> None:
        pass

    def function(self, name: str) -> int | None:
        return None if name in self.lacking else 59265

    def struct(self, name: str) -> int:
        if name in self.lacking:
            raise MissingMember(f"no struct {name}")
        return 7


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(definitions, "NOTES", made.notes)
    monkeypatch.setattr(btf, "Btf", made.types)
    monkeypatch.setattr(btf, "VMLINUX", made.vmlinux)
    monkeypatch.setattr(layout, "definitions", lambda types: {"OFF_SKC_NUM": 14})
    monkeypatch.setattr(cache, "read", kept.get)
    monkeypatch.setattr(cache, "write", kept.__setitem__)
    made.build(b"a" * 20)
    return made


def test_a_kernel_is_read_once(kernel: Kernel) -> None:
    found = definitions.known_definitions()
    assert found["OFF_SKC_NUM"] == 14
    assert definitions.known_definitions() == found
    assert kernel.times_read == 1


def test_another_kernel_is_read_for_itself(kernel: Kernel) -> None:
    definitions.known_definitions()
    kernel.build(b"b" * 20)
    definitions.known_definitions()
    assert kernel.times_read == 2
    kernel.vmlinux.write_bytes(b"other types")
    definitions.known_definitions()
    assert kernel.times_read == 3


@pytest.mark.parametrize(
    "spoil", [lambda notes: notes.write_bytes(b"Xen\0"), lambda notes: notes.unlink()]
)
def test_a_kernel_without_a_name_is_read_each_time(
    kernel: Kernel, spoil: Callable[[Path], None]
) -> None:
    spoil(kernel.notes)
    assert definitions.known_definitions() == definitions.known_definitions()
    assert kernel.times_read == 2


def test_the_doctor_reads_the_kernel_itself(kernel: Kernel) -> None:
    assert definitions.read_definitions() == definitions.known_definitions()
    definitions.read_definitions()
    assert kernel.times_read == 3


def test_a_kernel_that_casts(kernel: Kernel) -> None:
    found = definitions.known_definitions()
    assert found.keys() == {"OFF_SKC_NUM", "CAST", *(f"TYPE_{name}" for name in casts.TYPES)}


@pytest.mark.parametrize("lacking", ["bpf_rdonly_cast", "icmp_bxm"])
def test_a_kernel_that_has_not_all_that_a_cast_takes(kernel: Kernel, lacking: str) -> None:
    kernel.lacking = {lacking}
    assert definitions.known_definitions() == {"OFF_SKC_NUM": 14}
