"""The guest's process 1: runs COMMAND, relays its output to the host, tells its exit status.

Modules are few and small: each costs a good part of a second under emulation.

Ports (virtio-serial): `out` and `err` carry bytes only; `ctl` carries lines.
  guest to host:  ready            COMMAND is about to start
                  exit S OUT ERR   its status, and how many bytes went to each port
  host to guest:  signal N         send it to COMMAND's process group
                  close out|err    nobody reads that stream any more
                  size ROWS COLS   the terminal's size
"""

import errno
import os
import select
import signal

HERE = "/run/vm"
CHUNK = 65536
SIGNALS_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


def open_port(name: str) -> int:
    """Open the virtio-serial port of that name."""
    base = "/sys/class/virtio-ports"
    for entry in os.listdir(base):
        with open(f"{base}/{entry}/name", encoding="ascii") as handle:
            if handle.read().strip() == name:
                return os.open(f"/dev/{entry}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    raise RuntimeError(f"no port {name}")


def read_list(name: str) -> list[str]:
    """A list of strings, each ended by NUL."""
    with open(f"{HERE}/{name}", "rb") as handle:
        return [os.fsdecode(part) for part in handle.read().split(b"\0")[:-1]]


class Stream:
    """One direction of bytes: from a pipe (or the terminal) to a port, or the other way round."""

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self.sink = sink
        self.pending = b""
        self.count = 0
        self.open = True

    def wants(self) -> tuple[int, int]:
        """The file to wait for, and for what."""
        if self.pending:
            return self.sink, select.POLLOUT
        return self.source, select.POLLIN

    def move(self) -> bool:
        """Move what can be moved without waiting; False when there is nothing now."""
        if not self.pending:
            try:
                self.pending = os.read(self.source, CHUNK)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno != errno.EIO:  # a terminal whose last user is gone
                    raise
            if not self.pending:
                self.close()
                return False
        try:
            written = os.write(self.sink, self.pending)
        except BlockingIOError:
            return False
        self.count += written
        self.pending = self.pending[written:]
        return True

    def close(self) -> None:
        """Stop reading: who still writes gets SIGPIPE."""
        if self.open:
            self.open = False
            os.close(self.source)
        self.pending = b""


class Command:
    """COMMAND with its streams: pipes, or a terminal when the host has one."""

    def __init__(self, out: int, err: int) -> None:
        self.argv = read_list("argv")
        self.environment = dict(item.split("=", 1) for item in read_list("environment"))
        self.terminal = -1
        self.keyboard: Stream | None = None
        if os.path.exists(f"{HERE}/terminal"):
            self._start_on_terminal(out)
        else:
            self._start_on_pipes(out, err)

    def _start_on_pipes(self, out: int, err: int) -> None:
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        read_out, write_out = os.pipe()
        read_err, write_err = os.pipe()
        self._fork(null, write_out, write_err)
        for inherited in (null, write_out, write_err):
            os.close(inherited)
        for source in (read_out, read_err):
            os.set_blocking(source, False)
        self.streams = [Stream(read_out, out), Stream(read_err, err)]

    def _start_on_terminal(self, out: int) -> None:
        import pty

        self.terminal, inner = pty.openpty()
        with open(f"{HERE}/terminal", encoding="ascii") as handle:
            self.resize(*handle.read().split())
        self._fork(inner, inner, inner)
        os.close(inner)
        os.set_blocking(self.terminal, False)
        self.streams = [Stream(self.terminal, out)]
        self.keyboard = Stream(out, self.terminal)

    def _fork(self, *files: int) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._exec(files)
            except OSError as error:
                message = f"{self.argv[0]}: {error.strerror}\n"
                os.write(2, message.encode(errors="surrogateescape"))
                os._exit(127 if isinstance(error, FileNotFoundError) else 126)

    def _exec(self, files: tuple[int, ...]) -> None:
        os.setsid()
        for number, inherited in enumerate(files):
            os.dup2(inherited, number)
        if self.terminal >= 0:
            import fcntl
            import termios

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (*SIGNALS_PYTHON_IGNORES, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.chdir("/src")
        os.execvpe(self.argv[0], self.argv, self.environment)

    def resize(self, rows: str, columns: str) -> None:
        """Set the terminal's size."""
        import fcntl
        import termios

        size = b"".join(int(n).to_bytes(2, "little") for n in (rows, columns, "0", "0"))
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def all_streams(self) -> list[Stream]:
        """The streams that are open, input included."""
        found = self.streams if self.keyboard is None else [*self.streams, self.keyboard]
        return [stream for stream in found if stream.open]


class Agent:
    """The loop between COMMAND and the ports."""

    def __init__(self) -> None:
        self.control = open_port("ctl")
        out, err = open_port("out"), open_port("err")
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.received = b""
        self.status = -1
        self.tell("ready")
        self.command = Command(out, err)

    def run(self) -> None:
        """Relay until COMMAND ends, then tell the host, which ends the machine."""
        while self.status < 0:
            self.wait_and_move()
        self.drain()
        if os.path.ismount("/share"):
            os.spawnlp(os.P_WAIT, "sync", "sync", "-f", "/share")
        counts = [stream.count for stream in self.command.streams] + [0]
        self.tell(f"exit {self.status} {counts[0]} {counts[1]}")
        while True:
            self.wait_and_move()

    def wait_and_move(self) -> None:
        """Wait for the next thing that happens, and do what it asks for."""
        poll = select.poll()
        waiting = {}
        for stream in self.command.all_streams():
            file, event = stream.wants()
            waiting[file] = stream
            poll.register(file, event)
        poll.register(self.control, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        for file, _ in poll.poll():
            if file == self.wake:
                self.reap()
            elif file == self.control:
                self.obey()
            elif waiting[file].open:
                waiting[file].move()

    def drain(self) -> None:
        """Move what COMMAND wrote before its end; what its children write later is lost."""
        for stream in self.command.streams:
            left = 2 * 1024 * 1024  # more than a pipe holds: an end, should a child go on writing
            while stream.open and left > 0:
                left -= CHUNK
                if not stream.move() and not stream.pending:
                    break
                while stream.open and stream.pending:
                    self.wait_to_write(stream)

    def wait_to_write(self, stream: Stream) -> None:
        """Wait until the host takes more, while still obeying it."""
        poll = select.poll()
        poll.register(stream.sink, select.POLLOUT)
        poll.register(self.control, select.POLLIN)
        for file, _ in poll.poll():
            if file == self.control:
                self.obey()
            elif stream.open:
                stream.move()

    def reap(self) -> None:
        """Collect every ended process; as process 1 we inherit all orphans."""
        try:
            os.read(self.wake, CHUNK)
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.command.pid:
                    code = os.waitstatus_to_exitcode(status)
                    self.status = code if code >= 0 else 128 - code
        except (BlockingIOError, ChildProcessError):
            return

    def obey(self) -> None:
        """Do what the host asks for on the control port."""
        try:
            data = os.read(self.control, CHUNK)
        except BlockingIOError:
            return
        if not data:  # the host has gone
            with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
                trigger.write("o")
            signal.pause()
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            self.obey_line(line.decode().split())

    def obey_line(self, words: list[str]) -> None:
        """Do one thing the host asks for."""
        if words[0] == "signal" and self.status < 0:
            try:
                os.killpg(self.command.pid, int(words[1]))
            except ProcessLookupError:  # it has not made its group yet
                os.kill(self.command.pid, int(words[1]))
        elif words[0] == "close":
            self.command.streams[("out", "err").index(words[1])].close()
        elif words[0] == "size" and self.command.terminal >= 0:
            self.command.resize(words[1], words[2])

    def tell(self, line: str) -> None:
        """Say a line on the control port."""
        os.write(self.control, f"{line}\n".encode())


if __name__ == "__main__":
    Agent().run()
