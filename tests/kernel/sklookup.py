"""BPF programs of type sk_lookup, made of raw instructions: no compiler for three of them."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kernel.net import Namespace

# include/uapi/linux/bpf.h
_MAP_CREATE, _MAP_UPDATE, _PROG_LOAD, _LINK_CREATE = 0, 2, 5, 28
_SOCKMAP, _SK_LOOKUP, _ATTACH_SK_LOOKUP = 15, 30, 36
_BPF = 321  # the system call's number on x86-64

SK_DROP, SK_PASS = 0, 1
# struct bpf_sk_lookup: local_port, in host order.
_LOCAL_PORT = 60


def _bpf(command: int, attributes: bytes) -> int:
    # Before 5.11 BPF's memory counts as locked, the trace's with ours.
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    buffer = ctypes.create_string_buffer(attributes, 128)
    fd = int(ctypes.CDLL(None, use_errno=True).syscall(_BPF, command, buffer, 128))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def _insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, offset, value)


def _call(helper: int) -> bytes:
    return _insn(0x85, value=helper)


def _verdict(value: int) -> bytes:
    return _insn(0xB7, dst=0, value=value) + _insn(0x95)


def _for_port(port: int, body: bytes) -> bytes:
    """Run the body for one local port, and pass everything else on."""
    return (
        _insn(0xBF, dst=6, src=1)  # r6 = ctx
        + _insn(0x61, dst=2, src=1, offset=_LOCAL_PORT)
        + _insn(0x15, dst=2, offset=2, value=port)
        + _verdict(SK_PASS)
        + body
    )


def _assign(sockmap: int) -> bytes:
    """bpf_sk_assign(ctx, the socket at key 0 of the map, 0)."""
    return (
        _insn(0x62, dst=10, offset=-4, value=0)  # *(u32 *)(fp - 4) = 0
        + _insn(0x18, dst=1, src=1, value=sockmap) + _insn(0)
        + _insn(0xBF, dst=2, src=10) + _insn(0x07, dst=2, value=-4)
        + _call(1)  # bpf_map_lookup_elem
        + _insn(0x55, dst=0, offset=2, value=0)
        + _verdict(SK_PASS)
        + _insn(0xBF, dst=7, src=0)
        + _insn(0xBF, dst=1, src=6) + _insn(0xBF, dst=2, src=7) + _insn(0xB7, dst=3, value=0)
        + _call(124)  # bpf_sk_assign
        + _insn(0xBF, dst=1, src=7)
        + _call(86)  # bpf_sk_release
        + _verdict(SK_PASS)
    )  # fmt: skip


def _load(instructions: bytes) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "<IIQQIIQII16sII",
        _SK_LOOKUP, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(license_),
        0, 0, 0, 0, 0, b"scenario", 0, _ATTACH_SK_LOOKUP,
    )  # fmt: skip
    return _bpf(_PROG_LOAD, attributes)


@contextmanager
def _attached(namespace: Namespace, instructions: bytes) -> Iterator[None]:
    program = _load(instructions)
    netns = os.open(f"/run/netns/{namespace.name}", os.O_RDONLY)
    link = _bpf(_LINK_CREATE, struct.pack("<IIII", program, netns, _ATTACH_SK_LOOKUP, 0))
    try:
        yield
    finally:
        for fd in (link, netns, program):
            os.close(fd)


@contextmanager
def steered(namespace: Namespace, port: int, target: socket.socket) -> Iterator[None]:
    """Datagrams to the port go to another socket, whatever that one is bound to."""
    sockmap = _bpf(_MAP_CREATE, struct.pack("<IIII", _SOCKMAP, 4, 8, 1))
    key, value = ctypes.c_uint32(0), ctypes.c_uint64(target.fileno())
    _bpf(_MAP_UPDATE, struct.pack("<IIQQQ", sockmap, 0, ctypes.addressof(key),
                                  ctypes.addressof(value), 0))  # fmt: skip
    with _attached(namespace, _for_port(port, _assign(sockmap))):
        yield
    os.close(sockmap)


@contextmanager
def dropped(namespace: Namespace, port: int) -> Iterator[None]:
    """Lookups for the port end in a refusal."""
    with _attached(namespace, _for_port(port, _verdict(SK_DROP))):
        yield
