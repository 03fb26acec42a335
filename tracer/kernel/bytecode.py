"""What BCC made of a C source, as plain data: maps and programs; to bytes and back."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass

# An instruction is 8 bytes (struct bpf_insn in include/uapi/linux/bpf.h): the operation, the
# registers (the source in the upper half), an offset, and 4 bytes of constant at its end.
_INSTRUCTION = 8
_LOAD_64 = 0x18  # BPF_LD | BPF_IMM | BPF_DW, which takes two instructions
_IS_MAP = 1  # BPF_PSEUDO_MAP_FD, in the source register: the constant is a map
_CALL = 0x85  # BPF_JMP | BPF_CALL
_IS_KERNELS = 2  # BPF_PSEUDO_KFUNC_CALL, in the source register: a kernel function's BTF id
_HELPERS = 4096  # the numbers of helpers, which most calls are of, are below; BTF ids are not


@dataclass(frozen=True)
class MapShape:
    """A map as it is to be made; sizes in bytes, ``kind`` and ``flags`` as in linux/bpf.h."""

    name: str
    kind: int
    key_size: int
    value_size: int
    entries: int
    flags: int


@dataclass(frozen=True)
class Bytecode:
    """The maps of a source, and its programs by name.

    Where a program names a map, its instruction has the map's place in ``maps``.
    """

    maps: tuple[MapShape, ...]
    programs: dict[str, bytes]

    def encode(self) -> bytes:
        """As JSON."""
        programs = {name: base64.b64encode(code).decode() for name, code in self.programs.items()}
        return json.dumps({"maps": [asdict(m) for m in self.maps], "programs": programs}).encode()


def decode(data: bytes) -> Bytecode:
    """What `Bytecode.encode` made. Raises ValueError."""
    try:
        fields = json.loads(data)
        return Bytecode(
            tuple(MapShape(**shape) for shape in fields["maps"]),
            {name: base64.b64decode(code) for name, code in fields["programs"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no bytecode: {error}") from error


def renumber(code: bytes, numbers: Mapping[int, int]) -> bytes:
    """The program with each map's number replaced; raises KeyError for one that is not there."""
    made, at = bytearray(code), 0
    while at < len(made):
        if made[at] != _LOAD_64:
            at += _INSTRUCTION
            continue
        if made[at + 1] >> 4 == _IS_MAP:
            (number,) = struct.unpack_from("=i", made, at + 4)
            struct.pack_into("=i", made, at + 4, numbers[number])
        at += 2 * _INSTRUCTION
    return bytes(made)


def mark_kernel_calls(code: bytes) -> bytes:
    """The program with its calls of kernel functions, by BTF id, told from those of helpers."""
    made = bytearray(code)
    for at in range(0, len(made), _INSTRUCTION):
        if made[at] == _CALL and struct.unpack_from("=i", made, at + 4)[0] > _HELPERS:
            made[at + 1] = _IS_KERNELS << 4
    return bytes(made)
