"""The kernel's iterator over UDP sockets (bpf_iter): what bpf/sockets_iter.c writes of each."""

from __future__ import annotations

import ctypes
import os
from contextlib import closing
from typing import Any

from tracer.errors import StartError
from tracer.kernel import features, memory
from tracer.kernel.btf import Btf
from tracer.kernel.capabilities import summary
from tracer.kernel.layout import iterator_definitions
from tracer.kernel.program import compile_source, import_bcc
from tracer.kernel.quiet import captured_stderr

_PROGRAM = b"bpf_iter__udp"  # BCC and the kernel know the kind of iterator by this name
_READ_BYTES = 256 << 10


class SocketIterator:
    """A loaded program; each `read` runs it over the sockets of one network namespace.

    Raises StartError from the constructor when it cannot be had: no rights, no BCC, no BTF.
    """

    def __init__(self) -> None:
        for finding in (features.architecture(), summary()):
            if finding.status == "broken":
                raise StartError(finding.detail, finding.remedy)
        bcc = import_bcc()
        with closing(Btf()) as btf:
            constants = iterator_definitions(btf)
        self._bpf = compile_source(bcc, "sockets_iter.c", constants)
        self._link: int | None = None
        try:
            self._create, self._link = self._attach(bcc)
        except BaseException:
            self.close()
            raise
        memory.release()

    def read(self) -> bytes:
        """The records (tracer.sockets.facts) of the network namespace that the thread is in.

        Raises OSError.
        """
        iterator = self._create(self._link)
        if iterator < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        with open(iterator, "rb", buffering=0) as file:
            return b"".join(iter(lambda: file.read(_READ_BYTES), b""))

    def close(self) -> None:
        """Free the program."""
        if self._link is not None:
            os.close(self._link)
            self._link = None
        with captured_stderr():
            self._bpf.cleanup()

    def _attach(self, bcc: Any) -> tuple[Any, int]:
        """The function that makes an iterator of a link, and the link."""
        with captured_stderr():
            try:
                function = self._bpf.load_func(_PROGRAM, bcc.BPF.TRACING)
                # Not through bcc.lib: that keeps no errno.
                library = ctypes.CDLL(bcc.lib._name, use_errno=True)
                attach, create = library.bcc_iter_attach, library.bcc_iter_create
            except Exception as error:
                why, remedy = features.why_refused()
                raise StartError(f"the socket iterator cannot be loaded: {why}", remedy) from error
        attach.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
        create.argtypes = (ctypes.c_int,)
        link = int(attach(function.fd, None, 0))
        if link < 0:
            why = os.strerror(ctypes.get_errno())
            raise StartError(f"the socket iterator cannot be attached: {why}", features.REPORT_IT)
        return create, link
