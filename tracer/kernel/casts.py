"""The kernel's function that takes an address for a struct's, so that fields are read by loads.

Without it each field is read by the call of a helper (bpf_probe_read_kernel).
"""

from __future__ import annotations

from contextlib import suppress

from tracer.kernel.btf import Btf, MissingMember

# Since 6.2: fd264ca02094 "bpf: Add a kfunc for generic type cast". Which programs may call it is
# said in no place: it is tried (tracer.kernel.program).
_FUNCTION = "bpf_rdonly_cast"

CAST = "CAST"
"""The definition that bpf/kernel.h looks for."""

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
}


def definitions(btf: Btf) -> dict[str, int]:
    """C definitions of the cast and the structs' types; none where the kernel has no cast."""
    cast = btf.function(_FUNCTION)
    if cast is None:
        return {}
    with suppress(MissingMember):
        return {CAST: cast} | {f"TYPE_{name}": btf.struct(of) for name, of in TYPES.items()}
    return {}
