"""A map in the kernel, by keys and values that are ctypes objects."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from tracer.kernel.bytecode import MapShape
from tracer.libc import checked, last_error

Key = TypeVar("Key", bound=Any)
Value = TypeVar("Value", bound=Any)

_ENOTSUPP = 524  # include/linux/errno.h; the errno module has it not

_PER_CPU = (5, 6, 10)  # hash, array, LRU hash (enum bpf_map_type in include/uapi/linux/bpf.h)


class Map:
    """Made by the constructor, which raises OSError when the kernel refuses.

    Keys and values are ctypes objects as large as the C source's: ValueError is raised for others,
    before the kernel writes past their end.
    """

    def __init__(self, library: ctypes.CDLL, shape: MapShape) -> None:
        self._library = library
        self._key_size = shape.key_size
        self._entries = shape.entries
        # Each processor's value begins at a multiple of 8.
        per_cpu = -(-shape.value_size // 8) * 8 * possible_processors()
        self._value_size = per_cpu if shape.kind in _PER_CPU else shape.value_size
        self.fd = checked(
            library.bcc_create_map(
                shape.kind,
                shape.name.encode(),
                shape.key_size,
                shape.value_size,
                shape.entries,
                shape.flags,
            )
        )

    def read(self, key: Any, value: Any) -> bool:
        """Fill in ``value``, an array of one for each processor in a per-CPU map; False: no key."""
        self._check(key, self._key_size)
        self._check(value, self._value_size)
        found: int = self._library.bpf_lookup_elem(self.fd, ctypes.byref(key), ctypes.byref(value))
        return found == 0

    def write(self, key: Any, value: Any) -> None:
        """Add it, or replace what is there. Raises OSError."""
        self._check(key, self._key_size)
        self._check(value, self._value_size)
        key_at, value_at = ctypes.byref(key), ctypes.byref(value)
        checked(self._library.bpf_update_elem(self.fd, key_at, value_at, 0))

    def remove(self, key: Any) -> None:
        """Take it out; one that is gone already is no error."""
        self._check(key, self._key_size)
        self._library.bpf_delete_elem(self.fd, ctypes.byref(key))

    def take(self, key: Any, value: Any) -> bool:
        """Take it out and fill in ``value`` with its last; False: no key.

        Kernels before 5.14 (3e87f192b405) cannot do both at once in a hash: what is written to the
        value between is lost there. Raises OSError.
        """
        self._check(key, self._key_size)
        self._check(value, self._value_size)
        key_at, value_at = ctypes.byref(key), ctypes.byref(value)
        if self._library.bpf_lookup_and_delete(self.fd, key_at, value_at) == 0:
            return True
        error = last_error()
        if error.errno == errno.ENOENT:
            return False
        if error.errno != _ENOTSUPP:
            raise error
        found = self.read(key, value)
        self.remove(key)
        return found

    def keys(self, kind: type[Key]) -> Iterator[Key]:
        """Every key there is, while others may come and go."""
        key = kind()
        self._check(key, self._key_size)
        found = self._library.bpf_get_first_key(self.fd, ctypes.byref(key), self._key_size)
        while found == 0:
            yield key
            after = kind()
            found = self._library.bpf_get_next_key(self.fd, ctypes.byref(key), ctypes.byref(after))
            key = after

    def items(self, key: type[Key], value: type[Value]) -> Iterator[tuple[Key, Value]]:
        """Every key with its value, as they are now, in one system call. Raises OSError."""
        self._check(key, self._key_size)
        self._check(value, self._value_size)
        keys, values = (key * self._entries)(), (value * self._entries)()
        found, after = ctypes.c_uint32(self._entries), ctypes.c_uint32()
        places = (ctypes.byref(item) for item in (after, keys, values, found))
        if self._library.bpf_lookup_batch(self.fd, None, *places) < 0:
            error = last_error()
            if error.errno != errno.ENOENT:  # ... is the end
                raise error
        return zip(keys[: found.value], values[: found.value], strict=True)

    def close(self) -> None:
        """Give it back; the kernel frees it when no program uses it any more."""
        os.close(self.fd)

    @staticmethod
    def _check(value: Any, size: int) -> None:
        if ctypes.sizeof(value) != size:
            raise ValueError(f"{type(value).__name__} has not the map's {size} bytes")


@functools.lru_cache(maxsize=1)  # the kernel settles it when it boots
def possible_processors() -> int:
    """As many values as a per-CPU map has of each key."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    ends = ([int(end) for end in part.split("-")] for part in ranges)
    return sum(end[-1] - end[0] + 1 for end in ends)
