"""Offsets of struct members from the running kernel's BTF, through libbpf (no kernel headers).

libbcc already depends on libbpf, which finds a struct by name in milliseconds; parsing the 100,000
types in Python would take seconds on a slow machine. Format: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.errors import StartError
from tracer.kernel import features

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_KIND_STRUCT = 4
_KIND_UNION = 5
_KIND_FUNCTION = 12
_MODIFIERS = frozenset((8, 9, 10, 11, 18))  # typedef, volatile, const, restrict, type tag
_HEADER_WORDS = 3  # struct btf_type: name_off, info, size or type
_MEMBER_WORDS = 3  # struct btf_member: name_off, type, offset
_ARGUMENT_WORDS = 2  # struct btf_param: name_off, type


class MissingMember(LookupError):
    """The running kernel has no such struct or member."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member is: bits from the start of the outermost struct, and its type's BTF id.

    ``bits`` is the width of a bitfield, 0 for an ordinary member.
    """

    bit_offset: int
    bits: int
    type_id: int

    @property
    def offset(self) -> int:
        """Byte offset (of the byte that holds the first bit, for a bitfield)."""
        return self.bit_offset // 8


class Btf:
    """The running kernel's types. Raises StartError when there are none to read."""

    def __init__(self) -> None:
        if not features.SYSFS.exists():
            raise StartError(*features.no_sysfs())
        if not VMLINUX.exists():
            raise StartError(
                f"this kernel has no BTF ({VMLINUX} is missing), from which udptrace takes the "
                "layout of its structs",
                "apt install linux-image-amd64 (Debian) and boot it, which has "
                "CONFIG_DEBUG_INFO_BTF=y",
            )
        self._lib = _libbpf()
        self._btf = self._lib.btf__load_vmlinux_btf()
        # libbpf 0.x returns an ERR_PTR unless strict mode is asked for, 1.x NULL.
        if not self._btf or self._btf > 2**64 - 4096:
            raise StartError(f"{VMLINUX} cannot be read or is not valid BTF", features.REPORT_IT)
        self._found: dict[str, int] = {}
        """The structs looked for: libbpf goes through all types for each."""

    def member(self, struct: str, path: str) -> Member:
        """Find ``path`` ("ns.inum") in ``struct``, through anonymous structs and unions.

        Raises MissingMember when this kernel has no such struct or member.
        """
        type_id = self.struct(struct)
        found = Member(0, 0, type_id)
        for name in path.split("."):
            step = self._member_of(found.type_id, name)
            if step is None:
                raise MissingMember(f"struct {struct} has no member {path}")
            found = Member(found.bit_offset + step.bit_offset, step.bits, step.type_id)
        return found

    def size(self, struct: str) -> int:
        """Size of a struct in bytes. Raises MissingMember."""
        return int(self._words(self.struct(struct), _HEADER_WORDS)[2])

    def struct(self, name: str) -> int:
        """The BTF id of a struct. Raises MissingMember."""
        if name not in self._found:
            self._found[name] = self._find(name, _KIND_STRUCT)
        if self._found[name] < 0:
            raise MissingMember(f"no struct {name}")
        return self._found[name]

    def function(self, name: str) -> int | None:
        """The BTF id of a function; None where this kernel has none of the name."""
        found = self._find(name, _KIND_FUNCTION)
        return None if found < 0 else found

    def argument(self, function: str, name: str) -> int | None:
        """The place, from 0, that a function has an argument of this name at; None: no such."""
        found = self.function(function)
        if found is None:
            return None
        prototype = self._words(found, _HEADER_WORDS)[2]
        count = self._words(prototype, _HEADER_WORDS)[1] & 0xFFFF
        words = self._words(prototype, _HEADER_WORDS + _ARGUMENT_WORDS * count)
        names = [
            self._lib.btf__name_by_offset(self._btf, offset)
            for offset in words[_HEADER_WORDS::_ARGUMENT_WORDS]
        ]
        return names.index(name.encode()) if name.encode() in names else None

    def close(self) -> None:
        """Give the types' memory back."""
        if self._btf:
            self._lib.btf__free(self._btf)
            self._btf = None

    def _find(self, name: str, kind: int) -> int:
        return int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind))

    def _words(self, type_id: int, count: int) -> Any:
        address = self._lib.btf__type_by_id(self._btf, type_id)
        return (ctypes.c_uint32 * count).from_address(address)

    def _resolve(self, type_id: int) -> tuple[int, int, int, bool]:
        """Follow modifiers: (id, kind, number of members, whether kind_flag is set)."""
        while True:
            _, info, target = self._words(type_id, _HEADER_WORDS)
            kind = info >> 24 & 0x1F
            if kind not in _MODIFIERS:
                return type_id, kind, info & 0xFFFF, bool(info >> 31)
            type_id = target

    def _member_of(self, type_id: int, name: str) -> Member | None:
        type_id, kind, count, kind_flag = self._resolve(type_id)
        if kind not in (_KIND_STRUCT, _KIND_UNION):
            return None
        words = self._words(type_id, _HEADER_WORDS + _MEMBER_WORDS * count)
        wanted = name.encode()
        for at in range(_HEADER_WORDS, len(words), _MEMBER_WORDS):
            name_offset, member_type, packed = words[at : at + _MEMBER_WORDS]
            # With kind_flag the upper 8 bits are a bitfield's width; else all is the offset.
            bit_offset = packed & 0xFFFFFF if kind_flag else packed
            bits = packed >> 24 if kind_flag else 0
            if name_offset:
                if self._lib.btf__name_by_offset(self._btf, name_offset) == wanted:
                    return Member(bit_offset, bits, member_type)
                continue
            inner = self._member_of(member_type, name)
            if inner is not None:
                return Member(bit_offset + inner.bit_offset, inner.bits, inner.type_id)
        return None


def libbpf_version() -> str | None:
    """Such as "1.5"; None before 0.6, which does not tell it. Raises StartError without one."""
    lib = _libbpf()
    if not hasattr(lib, "libbpf_version_string"):
        return None
    lib.libbpf_version_string.restype = ctypes.c_char_p
    return str(lib.libbpf_version_string().decode("ascii", "replace")).removeprefix("v")


def _libbpf() -> Any:
    for name in ("libbpf.so.1", "libbpf.so.0"):
        try:
            lib = ctypes.CDLL(name)
        except OSError:
            continue
        lib.btf__load_vmlinux_btf.restype = ctypes.c_void_p
        lib.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
        lib.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        lib.btf__type_by_id.restype = ctypes.c_void_p
        lib.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
        lib.btf__name_by_offset.restype = ctypes.c_char_p
        lib.btf__free.argtypes = (ctypes.c_void_p,)
        lib.btf__free.restype = None
        return lib
    raise StartError("libbpf is missing", "apt install libbpf1 (it comes with python3-bpfcc)")
