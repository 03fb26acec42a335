"""When BCC is asked to compile, and when what it made before will do."""

from __future__ import annotations

import pytest

from tracer.kernel import cache, compiler, loader
from tracer.kernel.bytecode import Bytecode, MapShape
from tracer.kernel.child import Made


class Machine:
    """A cache in memory, and a compiler that counts."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.version = "libbcc_bpf.so.0.31.0"
        self.compiled: list[dict[str, int]] = []

    def in_child(self, what: str, work: object) -> Made:
        assert callable(work)
        return Made(work(), 119.0)

    def compile(self, source: str, constants: dict[str, int]) -> Bytecode:
        self.compiled.append(constants)
        return Bytecode((MapShape("m", 1, 4, 8, 10, 0),), {"enter": source.encode()})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(cache, "read", made.kept.get)
    monkeypatch.setattr(cache, "write", made.kept.__setitem__)
    monkeypatch.setattr(loader, "version", lambda: made.version)
    monkeypatch.setattr(compiler, "in_child", made.in_child)
    monkeypatch.setattr(compiler, "_compile", made.compile)
    return made


def test_the_same_is_compiled_once(machine: Machine) -> None:
    first = compiler.compiled("udptrace.c", {"A": 1})
    second = compiler.compiled("udptrace.c", {"A": 1})
    assert (first.peak_mb, second.peak_mb) == (119.0, None)
    assert first.code == second.code
    assert machine.compiled == [{"A": 1}]


def test_another_source_offset_or_compiler_is_another_program(machine: Machine) -> None:
    compiler.compiled("udptrace.c", {"A": 1})
    assert compiler.compiled("udptrace.c", {"A": 2}).peak_mb is not None
    assert compiler.compiled("udptrace.c", {"A": 1, "B": 1}).peak_mb is not None
    assert compiler.compiled("sockets_iter.c", {"A": 1}).peak_mb is not None
    machine.version = "libbcc_bpf.so.0.32.0"
    assert compiler.compiled("udptrace.c", {"A": 1}).peak_mb is not None


def test_what_another_version_kept_is_made_again(machine: Machine) -> None:
    compiler.compiled("udptrace.c", {})
    (key,) = machine.kept
    machine.kept[key] = b'{"maps": 1}'
    assert compiler.compiled("udptrace.c", {}).peak_mb is not None
    assert compiler.compiled("udptrace.c", {}).peak_mb is None
