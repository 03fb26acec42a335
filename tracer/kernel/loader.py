"""Bytecode in the kernel: maps, programs, probes and the ring buffer, by BCC's own C library.

That is libbcc_bpf, the part of BCC without its compiler: loading it takes no time and no memory.
"""

from __future__ import annotations

import ctypes
import functools
import os
from contextlib import closing, suppress

from tracer.errors import StartError
from tracer.kernel import features
from tracer.kernel.btf import Btf
from tracer.kernel.bytecode import Bytecode, renumber
from tracer.kernel.layout import charges_memlock
from tracer.kernel.maps import Map
from tracer.kernel.quiet import captured_stderr
from tracer.libc import checked, last_error

KPROBE = 2
TRACING = 26
"""Kinds of programs (enum bpf_prog_type in include/uapi/linux/bpf.h)."""

_LIBRARIES = ("libbcc_bpf.so.0", "libbcc.so.0")  # the latter has it all, and the compiler
_LICENSE = b"GPL"  # the helpers that read kernel memory demand it

_Sample = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


@functools.lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """BCC's library. Raises StartError when it is not installed."""
    for name in _LIBRARIES:
        with suppress(OSError):
            return _declared(ctypes.CDLL(name, use_errno=True))
    raise StartError(
        f"BCC's library {_LIBRARIES[0]} cannot be loaded",
        "apt install python3-bpfcc (Debian, Ubuntu)",
    )


def version() -> str:
    """The library's file, which has BCC's version in its name, and when it was installed."""
    name = library()._name.partition(".")[0]
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if f"/{name}." in line}
    return " ".join(f"{path} {os.stat(path).st_mtime_ns}" for path in sorted(paths))


class Loaded:
    """The maps of a bytecode, made; its programs are loaded and attached when asked for.

    Raises StartError from the constructor when a map cannot be made.
    """

    def __init__(self, code: Bytecode) -> None:
        self._library = library()
        self._code = code
        self._programs: dict[str, int] = {}
        self._attached: list[int] = []
        self._maps: dict[str, Map] = {}
        try:
            for shape in code.maps:
                self._maps[shape.name] = Map(self._library, shape)
        except OSError as error:
            self.close()
            raise _not_made(error) from error

    def map(self, name: str) -> Map:
        """The map of a name in the C source."""
        return self._maps[name]

    def load(self, name: str, kind: int = KPROBE) -> int:
        """The program's file descriptor; loaded once. Raises OSError when it is refused."""
        if name not in self._programs:
            numbers = {place: self._maps[m.name].fd for place, m in enumerate(self._code.maps)}
            code = renumber(self._code.programs[name], numbers)
            with captured_stderr():  # the verifier's log
                handle = self._library.bcc_prog_load(
                    kind, name.encode(), code, len(code), _LICENSE, 0, 0, None, 0
                )
            self._programs[name] = checked(handle)
        return self._programs[name]

    def load_all(self) -> bool:
        """Load every program of a kprobe; returns whether none was refused."""
        try:
            for name in self._code.programs:
                self.load(name)
        except OSError:
            return False
        return True

    def attach(self, symbol: str, program: int, at_return: bool) -> None:
        """Run a loaded program at each call of a kernel function, or at its return.

        Raises OSError.
        """
        kind = "r" if at_return else "p"
        with captured_stderr():
            event = self._library.bpf_attach_kprobe(
                program, int(at_return), f"{kind}_{symbol}".encode(), symbol.encode(), 0, 0
            )
        self._attached.append(checked(event))

    def detach(self, kept: int = 0) -> None:
        """Take away all that was attached but for the first ``kept``."""
        for event in self._attached[kept:]:
            self._library.bpf_close_perf_event_fd(event)
        del self._attached[kept:]

    @property
    def attached(self) -> int:
        """How many are."""
        return len(self._attached)

    def close(self) -> None:
        """Detach everything, and free programs and maps."""
        self.detach()
        for handle in self._programs.values():
            os.close(handle)
        self._programs.clear()
        for made in self._maps.values():
            made.close()
        self._maps.clear()


class RingBuffer:
    """The reader of a ring buffer. Raises StartError from the constructor.

    ``batch`` is how many records are taken at most at a time.
    """

    def __init__(self, ring: Map, batch: int) -> None:
        self._library = library()
        self._batch = batch
        self._records: list[bytes] = []
        self._taker = _Sample(self._take)  # the library keeps no reference of its own
        self._ring = self._library.bpf_new_ringbuf(ring.fd, self._taker, None)
        if not self._ring:
            raise _not_made(last_error())

    def poll(self, timeout_ms: int) -> list[bytes]:
        """Wait for records at most so long (milliseconds), and take all, up to `batch`."""
        self._library.bpf_poll_ringbuf(self._ring, timeout_ms)
        taken, self._records = self._records, []
        return taken

    def close(self) -> None:
        """Give the mapped memory back."""
        self._library.bpf_free_ringbuf(self._ring)

    def _take(self, _context: object, data: int, size: int) -> int:
        """Less than 0 has libbpf leave the rest where it is; this record has been taken."""
        self._records.append(ctypes.string_at(data, size))
        return -(len(self._records) >= self._batch)


def remedy(why: str) -> str:
    """What may mend a failure to make the maps, which BCC does when it compiles, too."""
    if "not permitted" in why:
        if features.memlock_is_short():
            with closing(Btf()) as types:
                if charges_memlock(types):
                    return features.RAISE_MEMLOCK
        if features.has_seccomp_filter():
            return features.ALLOW_CALLS
    return features.REPORT_IT


def _not_made(error: OSError) -> StartError:
    why = f"the probes' maps cannot be made ({error.strerror})"
    return StartError(why, remedy(why))


def _declared(made: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of its functions (bcc/src/cc/libbpf.h)."""
    number, size, text, place = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
    made.bcc_create_map.argtypes = (number, text, number, number, number, number)
    made.bcc_prog_load.argtypes = (
        *(number, text, text, number),
        *(text, size, number, place, size),
    )
    made.bpf_attach_kprobe.argtypes = (number, number, text, text, ctypes.c_uint64, number)
    made.bpf_close_perf_event_fd.argtypes = (number,)
    made.bpf_new_ringbuf.argtypes = (number, _Sample, place)
    made.bpf_new_ringbuf.restype = place
    made.bpf_poll_ringbuf.argtypes = (place, number)
    made.bpf_free_ringbuf.argtypes = (place,)
    made.bpf_free_ringbuf.restype = None
    made.bpf_lookup_elem.argtypes = (number, place, place)
    made.bpf_update_elem.argtypes = (number, place, place, ctypes.c_uint64)
    made.bpf_delete_elem.argtypes = (number, place)
    made.bpf_lookup_batch.argtypes = (number, place, place, place, place, place)
    made.bpf_get_first_key.argtypes = (number, place, ctypes.c_size_t)
    made.bpf_get_next_key.argtypes = (number, place, place)
    return made
