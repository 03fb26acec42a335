"""The Python mirror of bpf/events.h against the C compiler's own layout, member by member."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from tracer import wire
from tracer.events import LOSSES
from tracer.resources import bpf_dir


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """ "struct.member" -> offset, "struct" -> size, enum and macro names -> values, from cc."""
    lines = []
    for name, layout in wire.STRUCTS.items():
        lines.append(f'P("{name}", sizeof(struct {name}));')
        for field in layout._fields_:
            member = field[0]
            lines.append(f'P("{name}.{member}", offsetof(struct {name}, {member}));')
    lines += [f'P("{name}", {name});' for name in (*_KINDS, *_FLAGS, "WIRE_VERSION", "LOSS_KINDS")]
    lines += [f'P("LOSS_{name.upper()}", LOSS_{name.upper()});' for name in LOSSES]
    source = "\n".join(
        [
            "#include <stddef.h>",
            "#include <stdio.h>",
            "#include <linux/types.h>",
            '#include "events.h"',
            '#define P(name, value) printf("%s %lu\\n", name, (unsigned long)(value))',
            "int main(void) {",
            *lines,
            "return 0; }",
        ]
    )
    directory = tmp_path_factory.mktemp("layout")
    return _run(source, directory)


def _run(source: str, directory: Path) -> dict[str, int]:
    program = directory / "layout"
    (directory / "layout.c").write_text(source)
    subprocess.run(
        ["cc", "-Wall", "-Werror", f"-I{bpf_dir()}", "-o", program, directory / "layout.c"],
        check=True,
    )
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    pairs = (line.split() for line in printed.splitlines())
    return {name: int(value) for name, value in pairs}


_KINDS = {
    "WIRE_CONNECT": wire.CONNECT,
    "WIRE_BIND": wire.BIND,
    "WIRE_AUTOBIND": wire.AUTOBIND,
    "WIRE_CLOSE": wire.CLOSE,
    "WIRE_ERROR": wire.ERROR,
    "WIRE_CANDIDATES": wire.CANDIDATES,
    "WIRE_MISS": wire.MISS,
    "WIRE_CONNECT6": wire.CONNECT6,
    "WIRE_FATE": wire.FATE,
    "WIRE_DISCONNECT": wire.DISCONNECT,
    "WIRE_RECEIVED": wire.RECEIVED,
    "WIRE_PACKET": wire.PACKET,
    "WIRE_CREATED": wire.CREATED,
    "PACKET_BYTES": wire.PACKET_BYTES,
    "LISTED_SOCKET": wire.LISTED_SOCKET,
    "LISTED_GROUP": wire.LISTED_GROUP,
    "LISTED_MORE": wire.LISTED_MORE,
}
_FLAGS = {
    "TASK_CONNECTING": wire.TASK_CONNECTING,
    "SOCKET_V6ONLY": wire.V6ONLY,
    "SOCKET_ADDR_LOCK": wire.ADDR_LOCK,
    "SOCKET_PORT_LOCK": wire.PORT_LOCK,
    "SOCKET_REUSEPORT": wire.REUSEPORT,
    "SOCKET_KERNEL": wire.KERNEL,
    "MISS_PROVEN": wire.MISS_PROVEN,
    "MISS_WALKED": wire.MISS_WALKED,
    "MISS_TRUNCATED": wire.MISS_TRUNCATED,
    "MISS_LOOKUPS": wire.MISS_LOOKUPS,
    "MISS_L3MDEV": wire.MISS_L3MDEV,
    "MISS_SKIPPED": wire.MISS_SKIPPED,
}


@pytest.mark.parametrize("name", wire.STRUCTS)
def test_struct_has_the_compilers_layout(name: str, compiled: dict[str, int]) -> None:
    layout = wire.STRUCTS[name]
    assert ctypes.sizeof(layout) == compiled[name]
    for field in layout._fields_:
        member = field[0]
        assert getattr(layout, member).offset == compiled[f"{name}.{member}"], member


@pytest.mark.parametrize("name", wire.STRUCTS)
def test_struct_has_no_hidden_padding(name: str) -> None:
    """Padding the compiler added would carry kernel stack to user space, and break map keys."""
    layout = wire.STRUCTS[name]
    assert sum(getattr(layout, field[0]).size for field in layout._fields_) == ctypes.sizeof(layout)


def test_constants_are_the_headers(compiled: dict[str, int]) -> None:
    for name, value in {**_KINDS, **_FLAGS, "WIRE_VERSION": wire.WIRE_VERSION}.items():
        assert compiled[name] == value, name


def test_losses_are_in_the_headers_order(compiled: dict[str, int]) -> None:
    assert compiled["LOSS_KINDS"] == len(LOSSES)
    for index, name in enumerate(LOSSES):
        assert compiled[f"LOSS_{name.upper()}"] == index, name
