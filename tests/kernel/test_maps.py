"""A map of the kernel's: a key is taken out together with the value that it has by then."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest

from tracer.kernel.bytecode import MapShape
from tracer.kernel.loader import library
from tracer.kernel.maps import Map

_HASH = 1  # enum bpf_map_type in include/uapi/linux/bpf.h

Number = ctypes.c_uint64


@pytest.fixture
def numbers() -> Iterator[Map]:
    """An empty hash, of numbers by numbers."""
    size = ctypes.sizeof(Number)
    made = Map(library(), MapShape("numbers", _HASH, size, size, entries=8, flags=0))
    yield made
    made.close()


def test_what_is_taken_is_told_and_gone(numbers: Map) -> None:
    for key in (1, 2):
        numbers.write(Number(key), Number(key * 10))
    numbers.write(Number(1), Number(11))
    value = Number()
    assert numbers.take(Number(1), value)
    assert value.value == 11
    assert [key.value for key in numbers.keys(Number)] == [2]


def test_what_is_not_there_is_not_taken(numbers: Map) -> None:
    numbers.write(Number(1), Number(10))
    value = Number(7)
    assert not numbers.take(Number(2), value)
    assert value.value == 7
    assert [key.value for key in numbers.keys(Number)] == [1]
