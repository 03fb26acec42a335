"""Makes every cause happen once and records it, for docs/causes.md; runs inside the VM.

usage: scripts/vm --share DIRECTORY -- python3 scripts/lib/record_causes.py /share

Writes DIRECTORY/causes.udptrace.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kernel.freeze import Freezer
from tests.kernel.live import DEADLINE_S, wait_for
from tests.kernel.net import Namespace, disconnect, link, unlimited_peers
from tests.kernel.test_races import send_unchecked
from tests.kernel.tun import Elsewhere

SERVER, SERVERS_OTHER = "192.0.2.1", "192.0.2.11"
CLIENT, FIRST_CLIENT = "192.0.2.2", "192.0.2.3"
FAR = "198.51.100.9"

# Longer than the trace holds back what may belong together: no situation is taken for another's.
SETTLE_S = 1.0

# A program that does what it is told, a line at a time, under a name of its own.
PROGRAM = """
import ctypes, sys
from socket import *
ctypes.CDLL(None).prctl(15, sys.argv[1].encode())
udp, udp6 = (AF_INET, SOCK_DGRAM), (AF_INET6, SOCK_DGRAM)
for line in sys.stdin:
    exec(line)
    print(flush=True)
"""


class Program:
    """A process in a namespace."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        command = ["ip", "netns", "exec", namespace.name, "python3", "-c", PROGRAM, name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, *lines: str) -> None:
        """Have it run lines of Python, each to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for line in lines:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "\n", line

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=DEADLINE_S)


class Lab:
    """Two namespaces with a wire between them; the server has an address more than it needs."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.server = stack.enter_context(Namespace("server"))
        self.client = stack.enter_context(Namespace("client"))
        link(self.server, self.client)
        self.server.ip(*(f"address add {a}/24 dev eth0" for a in (SERVER, SERVERS_OTHER)))
        self.client.ip(f"address add {CLIENT}/24 dev eth0")
        unlimited_peers(self.server, self.client)

    def serve(self, name: str, *lines: str) -> Program:
        """A server that has done this."""
        return self._begin(self.server, name, lines)

    def ask(self, name: str, *lines: str) -> Program:
        """A client that has done this."""
        return self._begin(self.client, name, lines)

    def _begin(self, where: Namespace, name: str, lines: tuple[str, ...]) -> Program:
        program = self._stack.enter_context(closing(Program(where, name)))
        program.do("s = socket(*udp)", *lines)
        return program


def remote_address(lab: Lab) -> None:
    """A server that called connect() to its first client; another one asks."""
    lab.serve("nc", f"s.bind(('{SERVER}', 9999))", f"s.connect(('{FIRST_CLIENT}', 41000))")
    lab.ask("nc", f"s.connect(('{SERVER}', 9999))", "s.send(b'hello')")


def remote_port(lab: Lab) -> None:
    """The client has been started again, and asks from another port."""
    lab.serve("rtpd", f"s.bind(('{SERVER}', 5004))", f"s.connect(('{CLIENT}', 2002))")
    lab.ask(
        "rtp", f"s.bind(('{CLIENT}', 2003))", f"s.connect(('{SERVER}', 5004))", "s.send(b'rtp')"
    )


def local_address(lab: Lab) -> None:
    """A server on one address, asked at another."""
    lab.serve("named", f"s.bind(('{SERVER}', 53))")
    lab.ask("dig", f"s.connect(('{SERVERS_OTHER}', 53))", "s.send(b'query')")


def device(lab: Lab) -> None:
    """A server on loopback alone, by its interface."""
    lab.serve("statsd", "s.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, b'lo')", "s.bind(('', 8125))")
    lab.ask("app", f"s.connect(('{SERVER}', 8125))", "s.send(b'hits:1|c')")


def ipv6_only(lab: Lab) -> None:
    """A server that takes IPv6 only, asked over IPv4."""
    only6 = "s.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)"
    lab.serve("ntpd", "s = socket(*udp6)", only6, "s.bind(('::', 123))")
    lab.ask("ntpdate", f"s.connect(('{SERVER}', 123))", "s.send(b'time')")


def closed(lab: Lab) -> None:
    """A server that has gone while its client was still asking."""
    server = lab.serve("syslogd", f"s.bind(('{SERVER}', 514))")
    client = lab.ask("logger", f"s.connect(('{SERVER}', 514))", "s.send(b'one')")
    server.do("s.recv(9)", "s.close()")
    client.do("s.send(b'two')")


def connect_race(lab: Lab) -> None:
    """A datagram comes while a server's connect() is undone, which no kernel guards."""
    with closing(Freezer("udp_v4_rehash")) as freezer:
        server = lab.server.udp(bind=("0.0.0.0", 4500), connect=(CLIENT, 4501))
        client = lab.ask("ike", f"s.bind(('{CLIENT}', 4501))")
        with freezer.held(partial(disconnect, server)):
            client.do(f"s.sendto(b'key', ('{SERVER}', 4500))")
            time.sleep(SETTLE_S / 2)


def race(lab: Lab) -> None:
    """A socket is bound between the lookup and the ICMP."""
    with closing(Freezer("__skb_checksum_complete")) as freezer:
        sending = partial(lab.client.inside, partial(send_unchecked, 7643))
        with freezer.held(sending):
            lab.client.udp(bind=("127.0.0.1", 7643))


def no_socket(lab: Lab) -> None:
    """Nobody is there."""
    lab.ask("snmpget", f"s.connect(('{SERVER}', 161))", "s.send(b'get')")


def rejected(lab: Lab) -> None:
    """A firewall refuses what the server would take."""
    lab.server.run("nft", "-f", "-", text="""
        table ip filter {
            chain input { type filter hook input priority 0; udp dport 1812 reject; }
        }
    """)  # fmt: skip
    lab.serve("radiusd", f"s.bind(('{SERVER}', 1812))")
    lab.ask("radtest", f"s.connect(('{SERVER}', 1812))", "s.send(b'access')")


def remote(lab: Lab) -> None:
    """Another machine refuses it."""
    far = Elsewhere(lab.client, "198.51.100.1/24")
    lab.ask("mosh", f"s.connect(('{FAR}', 60001))", "s.send(b'hello')")
    far.refuse(3, 3)
    time.sleep(SETTLE_S)
    far.close()


def main(arguments: list[str]) -> int:
    """Exit status 0 when every cause was recorded."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    recording = Path(arguments[0], "causes.udptrace")
    situations = (remote_address, remote_port, local_address, device, ipv6_only, closed,
                  connect_race, race, no_socket, rejected, remote)  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        ready = Path(scratch, "ready")
        lab = Lab(stack)
        trace = subprocess.Popen(
            ["udptrace", "record", "-w", str(recording), "--settle", f"{SETTLE_S}s",
             "--ready-file", str(ready)],
        )  # fmt: skip
        wait_for(lambda: ready.exists() or trace.poll() is not None, "the ready file")
        for situation in situations:
            print(f"# {situation.__name__}", file=sys.stderr, flush=True)
            situation(lab)
            time.sleep(2 * SETTLE_S)
        trace.terminate()
        if trace.wait(DEADLINE_S):
            return 1
    shown = subprocess.run(["udptrace", "replay", str(recording)], check=False)
    return shown.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
