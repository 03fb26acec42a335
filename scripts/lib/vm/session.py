"""One run of a guest: boots it, relays COMMAND's streams and signals, returns its status."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from . import machine
from .errors import VmError
from .terminal import Terminal

CHUNK = 65536
BOOT_SECONDS = float(os.environ.get("UDPTRACE_VM_BOOT_TIMEOUT", "300"))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# COMMAND may ignore a signal; who sends it so many times wants the machine to end.
SIGNALS_TO_END = 3


class Interrupted(Exception):
    """A signal that ends the machine."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Session:
    """A running guest."""

    def __init__(self, guest: machine.Machine, terminal: Terminal | None, verbose: bool) -> None:
        self.guest = guest
        self.terminal = terminal
        self.verbose = verbose
        self.started = time.monotonic()
        self.ready = False
        self.signals = 0
        self.received = b""
        self.result: tuple[int, int, int] | None = None
        self.counts = {"out": 0, "err": 0}
        self.closed: set[str] = set()
        self.sockets: dict[str, socket.socket] = {}
        self.selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Boot, relay, and return COMMAND's exit status."""
        previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        process = None
        try:
            process, self.sockets = machine.start(self.guest)
            for name, end in self.sockets.items():
                self.selector.register(end, selectors.EVENT_READ, name)
            return self._relay(process)
        except Interrupted as interrupted:
            return 128 + interrupted.number
        finally:
            if process is not None:
                machine.stop(process)
            if self.terminal is not None:
                self.terminal.restore()
            self.selector.close()
            for end in self.sockets.values():
                end.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _relay(self, process: subprocess.Popen[bytes]) -> int:
        while not self._finished():
            for key, _ in self.selector.select(timeout=1.0):
                self._move(key.data)
            if process.poll() is not None and not self.selector.select(timeout=0):
                raise self._failure(f"the guest ended (QEMU exit status {process.returncode})")
            if not self.ready and time.monotonic() - self.started > BOOT_SECONDS:
                raise self._failure(f"the guest did not boot within {BOOT_SECONDS:.0f} s")
        assert self.result is not None
        return self.result[0]

    def _finished(self) -> bool:
        """Whether COMMAND has ended and all it wrote has arrived."""
        if self.result is None:
            return False
        wanted = dict(zip(("out", "err"), self.result[1:]))
        return all(self.counts[n] >= wanted[n] or n in self.closed for n in wanted)

    def _move(self, name: str) -> None:
        if name == "keyboard":
            data = os.read(sys.stdin.fileno(), CHUNK)
            self.sockets["out"].sendall(data)
            return
        try:
            data = self.sockets[name].recv(CHUNK)
        except ConnectionError:
            data = b""
        if not data:  # QEMU has gone
            self.selector.unregister(self.sockets[name])
        elif name == "ctl":
            *lines, self.received = (self.received + data).split(b"\n")
            for line in lines:
                self._hear(line.decode().split())
        else:
            self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        self.counts[name] += len(data)
        if name in self.closed:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(1 if name == "out" else 2, view) :]
        except BrokenPipeError:
            self.closed.add(name)
            self._tell(f"close {name}")

    def _hear(self, words: list[str]) -> None:
        if words[0] == "ready":
            self.ready = True
            if self.verbose:
                seconds = time.monotonic() - self.started
                print(f"vm: COMMAND starts {seconds:.1f} s after QEMU", file=sys.stderr)
            if self.terminal is not None:
                self.terminal.make_raw()
                self.selector.register(sys.stdin, selectors.EVENT_READ, "keyboard")
        elif words[0] == "exit":
            self.result = (int(words[1]), int(words[2]), int(words[3]))

    def _tell(self, line: str) -> None:
        try:
            self.sockets["ctl"].sendall(f"{line}\n".encode())
        except OSError:
            pass  # the guest has gone, which the loop notices

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if not self.ready or self.signals >= SIGNALS_TO_END:
            raise Interrupted(number)
        self._tell(f"signal {number}")

    def _failure(self, what: str) -> VmError:
        size = os.fstat(self.guest.console).st_size
        text = os.pread(self.guest.console, 8192, max(0, size - 8192)).decode(errors="replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        when = "before COMMAND ended" if self.ready else "before COMMAND started"
        return VmError(f"{what} {when}; its console's last lines:", "\n".join(lines[-25:]))
