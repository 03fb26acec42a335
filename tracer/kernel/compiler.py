"""Compiles a file of bpf/ with BCC, or takes what it once made of it. The only importer of bcc."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.errors import StartError
from tracer.kernel import bytecode, cache, loader
from tracer.kernel.bytecode import Bytecode, MapShape, mark_kernel_calls, renumber
from tracer.kernel.child import in_child
from tracer.kernel.quiet import captured_stderr
from tracer.resources import bpf_dir

_CANNOT = "the probes cannot be compiled"


@dataclass(frozen=True)
class Compiled:
    """The bytecode of a source."""

    code: Bytecode
    peak_mb: float | None
    """Memory that the compiler took at most; None: an earlier start has compiled it."""


def import_bcc() -> Any:
    """The BCC module. Raises StartError when it is absent, or PyPI's other `bcc`."""
    try:
        import bcc
    except (ImportError, OSError) as error:  # OSError: without libbcc itself
        raise StartError(
            f"BCC cannot be imported ({error})",
            "apt install python3-bpfcc (Debian, Ubuntu); a virtual environment sees it only when "
            "made with --system-site-packages",
        ) from error
    if not hasattr(bcc, "BPF"):
        where = getattr(bcc, "__file__", None) or "an unknown place"
        raise StartError(
            f"the Python module bcc from {where} is another project, not BCC",
            "pip uninstall bcc; apt install python3-bpfcc",
        )
    return bcc


def compiled(main: str, constants: dict[str, int]) -> Compiled:
    """A file in bpf/ with these definitions. Raises StartError.

    Compiling takes most of a start's time and memory, and the same source with the same offsets
    makes the same bytecode: root keeps it (`tracer.kernel.cache`).
    """
    source = _whole(bpf_dir() / main)
    key = _key(source, constants)
    kept = cache.read(key)
    if kept is not None:
        try:
            return Compiled(bytecode.decode(kept), None)
        except ValueError:
            pass  # of another version of this code: made again
    made = in_child(_CANNOT, lambda: _compile(source, constants).encode())
    cache.write(key, made.content)
    return Compiled(bytecode.decode(made.content), made.peak_mb)


def _key(source: str, constants: dict[str, int]) -> str:
    """A name for what all that the bytecode depends on: the C, the offsets, the compiler."""
    digest = hashlib.sha256()
    headers = sorted(path for path in bpf_dir().rglob("*.h"))
    for text in (
        source,
        *(path.read_text() for path in headers),
        repr(sorted(constants.items())),
        loader.version(),
    ):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _compile(source: str, constants: dict[str, int]) -> Bytecode:
    """By BCC, in this process. Raises StartError."""
    bcc = import_bcc()
    # BCC looks here instead of for the running kernel's headers, which need not be installed.
    os.environ["BCC_KERNEL_SOURCE"] = str(bpf_dir() / "stubs")
    flags = [f"-D{name}={value}" for name, value in constants.items()]
    with captured_stderr() as printed:
        try:
            bpf = bcc.BPF(
                text=source.encode(),
                cflags=[*flags, f"-I{bpf_dir()}", "-Wno-unused-command-line-argument"],
            )
        except Exception as error:
            failure = error
        else:
            return _bytecode(bcc.lib, bpf)
    why = _first_error(printed.text) or str(failure)
    raise StartError(f"{_CANNOT} ({why})", loader.remedy(why)) from failure


def _bytecode(library: Any, bpf: Any) -> Bytecode:
    """What is in a BPF object of BCC's: it has made the maps, and put them into the programs."""
    module = bpf.module
    _declare(library)
    maps = range(library.bpf_num_tables(module))
    places = {library.bpf_table_fd_id(module, place): place for place in maps}
    names = [
        library.bpf_function_name(module, number).decode()
        for number in range(library.bpf_num_functions(module))
    ]
    return Bytecode(
        tuple(_shape(library, module, place) for place in maps),
        {name: mark_kernel_calls(renumber(bpf.dump_func(name.encode()), places)) for name in names},
    )


def _shape(library: Any, module: Any, place: int) -> MapShape:
    return MapShape(
        library.bpf_table_name(module, place).decode(),
        library.bpf_table_type_id(module, place),
        library.bpf_table_key_size_id(module, place),
        library.bpf_table_leaf_size_id(module, place),
        library.bpf_table_max_entries_id(module, place),
        library.bpf_table_flags_id(module, place),
    )


def _declare(library: Any) -> None:
    """Types of the functions that BCC's own Python has no use for (bcc/src/cc/bpf_module.h)."""
    for name, result in (
        ("bpf_num_tables", ctypes.c_size_t),
        ("bpf_table_fd_id", ctypes.c_int),
        ("bpf_table_name", ctypes.c_char_p),
        ("bpf_table_type_id", ctypes.c_int),
        ("bpf_table_key_size_id", ctypes.c_size_t),
        ("bpf_table_leaf_size_id", ctypes.c_size_t),
        ("bpf_table_max_entries_id", ctypes.c_size_t),
        ("bpf_table_flags_id", ctypes.c_int),
    ):
        function = getattr(library, name)
        place = () if name == "bpf_num_tables" else (ctypes.c_size_t,)
        function.argtypes, function.restype = (ctypes.c_void_p, *place), result


def _whole(main: Path) -> str:
    """The C source with its parts in it: BCC rewrites the use of maps in the main file only."""
    part = re.compile(r'^#include "(\w+\.c)"$', re.MULTILINE)
    return part.sub(lambda match: (main.parent / match[1]).read_text(), main.read_text())


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if "error:" in line), lines[0] if lines else "")
