"""The kernel's iterator over UDP sockets (bpf_iter): what bpf/sockets_iter.c writes of each."""

from __future__ import annotations

import ctypes
import os
from contextlib import closing
from typing import Any

from tracer.errors import StartError
from tracer.kernel import features
from tracer.kernel.btf import Btf
from tracer.kernel.capabilities import summary
from tracer.kernel.compiler import compiled
from tracer.kernel.layout import iterator_definitions
from tracer.kernel.loader import TRACING, Loaded, library
from tracer.libc import checked, last_error

_PROGRAM = "bpf_iter__udp"  # BCC and the kernel know the kind of iterator by this name
_READ_BYTES = 256 << 10


class SocketIterator:
    """A loaded program; each `read` runs it over the sockets of one network namespace.

    Raises StartError from the constructor when it cannot be had: no rights, no BCC, no BTF.
    """

    def __init__(self) -> None:
        for finding in (features.architecture(), summary()):
            if finding.status == "broken":
                raise StartError(finding.detail, finding.remedy)
        with closing(Btf()) as btf:
            constants = iterator_definitions(btf)
        made = compiled("sockets_iter.c", constants)
        self._link: int | None = None
        self._loaded = Loaded(made.code)
        try:
            self._create, self._link = self._attach()
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """The records (tracer.sockets.facts) of the network namespace that the thread is in.

        Raises OSError.
        """
        iterator = checked(self._create(self._link))
        with open(iterator, "rb", buffering=0) as file:
            return b"".join(iter(lambda: file.read(_READ_BYTES), b""))

    def close(self) -> None:
        """Free the program."""
        if self._link is not None:
            os.close(self._link)
            self._link = None
        self._loaded.close()

    def _attach(self) -> tuple[Any, int]:
        """The function that makes an iterator of a link, and the link."""
        try:
            program = self._loaded.load(_PROGRAM, TRACING)
            attach, create = library().bcc_iter_attach, library().bcc_iter_create
        except (OSError, AttributeError) as error:  # AttributeError: a BCC without iterators
            why, remedy = features.why_refused()
            raise StartError(f"the socket iterator cannot be loaded: {why}", remedy) from error
        attach.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
        create.argtypes = (ctypes.c_int,)
        link = int(attach(program, None, 0))
        if link < 0:
            why = f"the socket iterator cannot be attached: {last_error().strerror}"
            raise StartError(why, features.REPORT_IT)
        return create, link
