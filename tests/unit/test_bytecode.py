"""Bytecode as plain data: nothing of it changes on the way to the disk and into the kernel."""

from __future__ import annotations

import struct

import pytest

from tracer.kernel.bytecode import Bytecode, MapShape, decode, mark_kernel_calls, renumber

LOAD_64, IS_MAP, MOVE, CALL, IS_KERNELS = 0x18, 1, 0xB7, 0x85, 2


def instruction(operation: int, constant: int, source: int = 0, target: int = 1) -> bytes:
    return struct.pack("=BBhi", operation, source << 4 | target, 0, constant)


def load_64(constant: int, source: int = 0, upper: int = 0) -> bytes:
    return instruction(LOAD_64, constant, source) + struct.pack("=ii", 0, upper)


def test_what_is_kept_is_what_was_compiled() -> None:
    shape = MapShape("misses", 1, 72, 56, 16384, 0)
    code = Bytecode((shape,), {"icmp_enter": bytes(range(256)), "empty": b""})
    assert decode(code.encode()) == code


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"maps": [{"name": "x"}], "programs": {}}',
        b'{"maps": [], "programs": {"x": "+"}}',
        b'{"maps": [], "programs": []}',
    ],
)
def test_what_is_no_bytecode_is_told_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="no bytecode"):
        decode(data)


def test_only_maps_are_renumbered() -> None:
    """The same number stands in a move, in a constant of 64 bits, and in its upper half."""

    def program(number: int) -> bytes:
        return b"".join(
            (
                instruction(MOVE, 7),
                load_64(7),
                load_64(number, IS_MAP),
                # Its second half looks like the loading of a map, and is none.
                load_64(0x18 | IS_MAP << 12, 0, upper=7),
                load_64(number, IS_MAP),
            )
        )

    assert renumber(program(7), {7: 123456}) == program(123456)


def test_a_map_that_nobody_made() -> None:
    with pytest.raises(KeyError):
        renumber(load_64(8, IS_MAP), {7: 1})


def test_only_calls_of_kernel_functions_are_marked() -> None:
    """Not those of helpers, and not a constant that has the number of a function."""

    def program(source: int) -> bytes:
        return b"".join(
            (
                instruction(MOVE, 59265),
                instruction(CALL, 113, target=0),
                instruction(CALL, 59265, source, target=0),
            )
        )

    assert mark_kernel_calls(program(0)) == program(IS_KERNELS)
