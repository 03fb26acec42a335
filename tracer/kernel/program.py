"""Compiles and loads the probes with BCC. The only module that imports bcc."""

from __future__ import annotations

import atexit
import ctypes
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer.errors import StartError
from tracer.kernel import features, memory, symbols
from tracer.kernel.btf import Btf
from tracer.kernel.layout import charges_memlock, definitions
from tracer.kernel.probes import Probe
from tracer.kernel.quiet import captured_stderr
from tracer.resources import bpf_dir
from tracer.wire import LOSS_NAMES, PACKET_BYTES, MissKey, MissValue

# Nodes of a hash chain looked at for one miss. A slot is shared by other ports and namespaces, so a
# few of them may be strangers'; the verifier's time grows with it (0.07 s for 256).
WALK_NODES = 256

# Records taken at a time. In a storm the buffer fills as fast as it is read: without a bound one
# reading would neither end nor fit into memory. What it has no room for meanwhile is counted.
BATCH = 1024


class AttachError(Exception):
    """A probe could not be loaded or attached: the reason, without the probe's name.

    ``remedy`` is what may mend it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True)
class Variant:
    """What the probes are compiled to do."""

    lookups: bool = True
    """The probe on the receive path, without which verdicts rest on the skb and the walk."""
    all_icmp: bool = False
    """Tell "fragmentation needed" too."""
    snaplen: int = 0
    """Bytes kept of a datagram that missed, from its IP header on; its headers at least."""
    states: bool = False
    """Tell of sockets made, of those closed that never had a port, and what connect() caused."""


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
    memory.release()
    if not hasattr(bcc, "BPF"):
        where = getattr(bcc, "__file__", None) or "an unknown place"
        raise StartError(
            f"the Python module bcc from {where} is another project, not BCC",
            "pip uninstall bcc; apt install python3-bpfcc",
        )
    return bcc


def read_definitions() -> dict[str, int]:
    """C definitions for the running kernel. Raises StartError without usable BTF."""
    with closing(Btf()) as btf:
        return definitions(btf)


class Program:
    """The compiled BPF program: attaches probes, yields records, reads maps.

    Raises StartError from the constructor when it cannot be compiled.
    """

    def __init__(self, bcc: Any, layout: dict[str, int], variant: Variant) -> None:
        self._bcc = bcc
        self._records: list[bytes] = []
        constants = {
            **layout,
            "WALK_NODES": WALK_NODES,
            "LOOKUPS": int(variant.lookups),
            "ALL_ICMP": int(variant.all_icmp),
            "SNAPLEN": variant.snaplen,
            "STATES": int(variant.states),
            # A multiple of 8, as the rest of its struct.
            "PACKET_BYTES": max(PACKET_BYTES, -(-variant.snaplen // 8) * 8),
        }
        self._bpf = compile_source(bcc, "udptrace.c", constants)
        self._misses = self._bpf.get_table(b"misses", keytype=MissKey, leaftype=MissValue)
        self._losses = self._bpf[b"losses"]
        self._bpf[b"events"].open_ring_buffer(self._take)

    def attach(self, probe: Probe) -> str:
        """Load the probe's programs and attach them; returns the symbol. Raises AttachError."""
        enter = self._load(probe.enter) if probe.enter else None
        leave = self._load(probe.exit) if probe.exit else None
        reasons: list[str] = []
        for symbol in probe.symbols:
            for name in (symbol, None):
                # The plain name first: only a kernel without it is worth reading kallsyms for.
                names = [name] if name else symbols.variants(symbol)
                if names and self._attach_all(names, enter, leave, reasons):
                    return names[0]
        raise AttachError(
            f"no kernel function {' or '.join(probe.symbols)} can be probed"
            + (f" ({reasons[-1]})" if reasons else ""),
            features.REPORT_IT,
        )

    def poll(self, timeout_ms: int) -> list[bytes]:
        """Wait for records at most so long (milliseconds), and take all there are, up to `BATCH`.

        As many as that may not be all.
        """
        self._bpf.ring_buffer_poll(timeout_ms)
        taken, self._records = self._records, []
        return taken

    def losses(self) -> dict[str, int]:
        """The kernel's loss counters since the load, by the names of `tracer.events.LOSSES`."""
        return {
            name: int(self._losses.sum(ctypes.c_int(index)).value)
            for index, name in enumerate(LOSS_NAMES)
        }

    def misses(self) -> Iterator[tuple[MissKey, MissValue]]:
        """Every key of the table of misses with its counters, as it is now.

        In one system call where BCC can (from 0.19 on): a full table took two for each key.
        """
        at_once = getattr(self._misses, "items_lookup_batch", self._misses.items)
        yield from at_once()

    def forget_miss(self, key: MissKey) -> None:
        """Take a key out of the table of misses; one that is gone already is no error."""
        try:
            del self._misses[key]
        except KeyError:
            return

    def keep_only(self, netns: Iterable[int] | None) -> None:
        """Drop the misses of all other network namespaces than these inode numbers; None: none."""
        targets, only = self._bpf[b"targets"], self._bpf[b"only_targets"]
        wanted = {} if netns is None else {inum: ctypes.c_uint32(inum) for inum in netns}
        for key in wanted.values():
            targets[key] = ctypes.c_uint8(1)
        only[ctypes.c_int(0)] = ctypes.c_uint32(netns is not None)
        for key in list(targets.keys()):
            if key.value not in wanted:
                del targets[key]

    def close(self) -> None:
        """Detach every probe and free the maps."""
        with captured_stderr():
            # BCC closes a probe, then looks for it in tracefs, and raises where it may not. Probes
            # made by perf, as these, are never in there.
            for event in list(self._bpf.kprobe_fds):
                with suppress(Exception):
                    self._bpf.detach_kprobe_event(event)
            self._bpf.cleanup()

    def _take(self, _context: object, data: int, size: int) -> int:
        """Less than 0 has libbpf leave the rest where it is; this record has been taken."""
        self._records.append(ctypes.string_at(data, size))
        return -(len(self._records) >= BATCH)

    def _load(self, function: str) -> Any:
        name = function.encode()
        if name in self._bpf.funcs:
            return self._bpf.funcs[name]
        with captured_stderr():
            try:
                return self._bpf.load_func(name, self._bcc.BPF.KPROBE)
            except Exception as error:
                why, remedy = features.why_refused()
                raise AttachError(f"cannot load {function}: {why}", remedy) from error

    def _attach_all(self, names: list[str], enter: Any, leave: Any, reasons: list[str]) -> bool:
        attached = []
        for name in names:
            try:
                with captured_stderr():
                    if enter is not None:
                        self._bpf.attach_kprobe(event=name.encode(), fn_name=enter.name)
                    if leave is not None:
                        self._bpf.attach_kretprobe(event=name.encode(), fn_name=leave.name)
            except Exception as error:
                reasons.append(_first_line(str(error)))
                continue
            attached.append(name)
        return len(attached) == len(names)


def compile_source(bcc: Any, main: str, constants: dict[str, int]) -> Any:
    """The BPF object of a file in bpf/, its maps made. Raises StartError."""
    source = bpf_dir()
    # BCC looks here instead of for the running kernel's headers, which need not be installed.
    os.environ["BCC_KERNEL_SOURCE"] = str(source / "stubs")
    flags = [f"-D{name}={value}" for name, value in constants.items()]
    with captured_stderr() as printed:
        try:
            bpf = bcc.BPF(
                text=_whole(source / main).encode(),
                cflags=[*flags, f"-I{source}", "-Wno-unused-command-line-argument"],
            )
        except Exception as error:
            failure = error
        else:
            # BCC would clean up once more at exit, with a traceback when a second Ctrl-C has cut
            # `close` short; what is then still attached goes with the process.
            atexit.unregister(bpf.cleanup)
            return bpf
    why = _first_error(printed.text) or str(failure)
    raise StartError(f"the probes cannot be compiled ({why})", _remedy(why)) from failure


def _remedy(why: str) -> str:
    """What may mend a failure to compile, or to make the maps, which BCC does in one go."""
    if "not permitted" in why:
        if features.memlock_is_short():
            with closing(Btf()) as btf:
                if charges_memlock(btf):
                    return features.RAISE_MEMLOCK
        if features.has_seccomp_filter():
            return features.ALLOW_CALLS
    return features.REPORT_IT


def _whole(main: Path) -> str:
    """The C source with its parts in it: BCC rewrites the use of maps in the main file only."""
    part = re.compile(r'^#include "(\w+\.c)"$', re.MULTILINE)
    return part.sub(lambda match: (main.parent / match[1]).read_text(), main.read_text())


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if "error:" in line), lines[0] if lines else "")
