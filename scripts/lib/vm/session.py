"""One run of a guest: boots it, relays COMMAND's streams and signals, returns its status."""

from __future__ import annotations

import contextlib
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from . import machine
from .errors import SignalError, VmError
from .terminal import Terminal

CHUNK = 65536
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# COMMAND may ignore a signal, or the guest may hang: who sends as many wants the machine to end,
# and who sends SIGTERM wants it to end in a while.
SIGNALS_TO_END = 3
TERM_SECONDS = 30.0
STREAMS = {"out": 1, "err": 2}
TROUBLE = re.compile(r"Oops|BUG:|Kernel panic|general protection fault|soft lockup|rcu.*stall")


def boot_seconds() -> float:
    """How long a boot may take: generous, since cores can be shared and slow."""
    text = os.environ.get("UDPTRACE_VM_BOOT_SECONDS") or "300"
    try:
        return float(text)
    except ValueError:
        raise VmError(f"UDPTRACE_VM_BOOT_SECONDS={text} is not a number of seconds") from None


class Session:
    """A running guest."""

    def __init__(self, wanted: machine.Machine, terminal: Terminal | None, verbose: bool) -> None:
        self.machine = wanted
        self.terminal = terminal
        self.verbose = verbose
        self.patience = boot_seconds()
        self.started = time.monotonic()
        self.ready = False
        self.signals = 0
        self.end_at = float("inf")
        self.heard = b""
        self.status = -1
        self.wanted = dict.fromkeys(STREAMS, 0)  # bytes that COMMAND wrote
        self.counts = dict.fromkeys(STREAMS, 0)  # bytes that arrived
        self.closed: set[str] = set()
        self.sockets: dict[str, socket.socket] = {}
        self.selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Boot, relay, and return COMMAND's exit status."""
        handlers = dict.fromkeys(SIGNALS, self._on_signal)
        handlers[signal.SIGWINCH] = self._on_resize
        previous = {number: signal.signal(number, act) for number, act in handlers.items()}
        process = None
        try:
            process, self.sockets = machine.start(self.machine)
            for name, end in self.sockets.items():
                self.selector.register(end, selectors.EVENT_READ, name)
            self._relay(process)
            self._report_trouble()
            return self.status
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

    def _relay(self, process: subprocess.Popen[bytes]) -> None:
        while not self._finished():
            for key, _ in self.selector.select(timeout=1.0):
                self._move(key.data)
            now = time.monotonic()
            if process.poll() is not None and not self.selector.select(timeout=0):
                when = "before COMMAND ended" if self.ready else "before it could start COMMAND"
                raise self._failure(f"the guest ended {when}")
            if not self.ready and now - self.started > self.patience:
                raise self._failure(f"the guest did not boot within {self.patience:.0f} s")
            if now > self.end_at:
                raise SignalError(signal.SIGTERM)

    def _finished(self) -> bool:
        """Whether COMMAND has ended and all it wrote has arrived."""
        return self.status >= 0 and all(
            name in self.closed or self.counts[name] >= self.wanted[name] for name in STREAMS
        )

    def _move(self, name: str) -> None:
        if name == "keyboard":
            self.sockets["out"].sendall(os.read(sys.stdin.fileno(), CHUNK))
            return
        try:
            data = self.sockets[name].recv(CHUNK)
        except ConnectionError:
            data = b""
        if not data:  # QEMU has gone
            self.selector.unregister(self.sockets[name])
        elif name == "ctl":
            *lines, self.heard = (self.heard + data).split(b"\n")
            for line in lines:
                self._hear(line.decode().split())
        else:
            self.counts[name] += len(data)
            if name not in self.closed:
                self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        """Write to our own stdout or stderr; when nobody reads it, COMMAND shall know."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(STREAMS[name], view) :]
            except BlockingIOError:  # whoever gave it to us made it so
                select.select([], [STREAMS[name]], [])
            except BrokenPipeError:
                self.closed.add(name)
                self._tell(f"close {name}")
                return
            except OSError as error:
                raise VmError(f"cannot write what COMMAND printed: {error.strerror}") from error

    def _hear(self, words: list[str]) -> None:
        if words[0] == "ready":
            self.ready = True
            if self.verbose:
                seconds = time.monotonic() - self.started
                print(f"vm: COMMAND starts after {seconds:.1f} s", file=sys.stderr)
            if self.terminal is not None:
                self.terminal.make_raw()
                self.selector.register(sys.stdin, selectors.EVENT_READ, "keyboard")
        elif words[0] == "exit":
            self.wanted = {"out": int(words[2]), "err": int(words[3])}
            self.status = int(words[1])

    def _tell(self, line: str) -> None:
        # Should the guest have gone, the loop notices.
        with contextlib.suppress(OSError):
            self.sockets["ctl"].sendall(f"{line}\n".encode())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if not self.ready or self.signals >= SIGNALS_TO_END:
            raise SignalError(number)
        self._tell(f"signal {number}")
        if number == signal.SIGTERM:
            self.end_at = min(self.end_at, time.monotonic() + TERM_SECONDS)

    def _on_resize(self, number: int, frame: FrameType | None) -> None:
        if self.ready and self.terminal is not None:
            rows, columns = self.terminal.size()
            self._tell(f"size {rows} {columns}")

    def _console(self) -> list[str]:
        size = os.fstat(self.machine.console).st_size
        text = os.pread(self.machine.console, 65536, max(0, size - 65536))
        return [line.rstrip() for line in text.decode(errors="replace").splitlines() if line]

    def _report_trouble(self) -> None:
        """An oops need not make COMMAND fail, but nobody would want to miss it."""
        for line in list(filter(TROUBLE.search, self._console()))[:5]:
            print(f"vm: the guest's kernel says: {line}", file=sys.stderr)

    def _failure(self, what: str) -> VmError:
        console = self._console()
        trouble = list(filter(TROUBLE.search, console))
        why = f": {trouble[0]}" if trouble else ""
        shown = console if self.verbose else console[-20:]
        return VmError(f"{what}{why}; the end of its console:", "\n".join(shown))
