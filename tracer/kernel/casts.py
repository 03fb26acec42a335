"""Whether programs may take an address for a kernel struct's, and read its fields by loads.

Without that each field is read by the call of a helper (bpf_probe_read_kernel).
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from tracer.kernel.btf import Btf, MissingMember
from tracer.kernel.loader import load_program

# Since 6.2: fd264ca02094 "bpf: Add a kfunc for generic type cast". Which programs may call it is
# said in no place: it is tried.
_FUNCTION = "bpf_rdonly_cast"

# Definition in bpf/kernel.h -> the struct that an address is taken for.
TYPES = {
    "SOCK": "sock",
    "SOCKET_ALLOC": "socket_alloc",
    "NET": "net",
    "NET_DEVICE": "net_device",
    "SK_BUFF": "sk_buff",
    "DST_ENTRY": "dst_entry",
    "RTABLE": "rtable",
    "ICMP_BXM": "icmp_bxm",
    "IPHDR": "iphdr",
    "UDPHDR": "udphdr",
}


def definitions(btf: Btf) -> dict[str, int]:
    """C definitions of the cast and the structs' types; none where the kernel has no cast."""
    cast = btf.function(_FUNCTION)
    if cast is None:
        return {}
    with suppress(MissingMember):
        return {"CAST": cast} | {f"TYPE_{name}": btf.struct(of) for name, of in TYPES.items()}
    return {}


def allowed(found: dict[str, int]) -> dict[str, int]:
    """The definitions, without the cast where it may not be called from here.

    A program is loaded that casts 0, and reads a field of what is there: the kernel has it be 0.
    """
    if "CAST" not in found:
        return found
    try:
        os.close(load_program("try_cast", _trial(found["CAST"], found["TYPE_SOCK"])))
    except OSError:
        return {name: value for name, value in found.items() if name != "CAST"}
    return found


def _trial(cast: int, type_id: int) -> bytes:
    """Instructions (struct bpf_insn): operation, source and target register, offset, constant."""
    instructions = (
        (0xB7, 0x01, 0, 0),  # r1 = 0
        (0xB7, 0x02, 0, type_id),  # r2 = type_id
        (0x85, 0x20, 0, cast),  # call
        (0x69, 0x00, 16, 0),  # r0 = *(u16 *)(r0 + 16)
        (0xB7, 0x00, 0, 0),  # r0 = 0
        (0x95, 0x00, 0, 0),  # exit
    )
    return b"".join(struct.pack("=BBhi", *instruction) for instruction in instructions)
