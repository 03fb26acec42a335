"""A process chooses names, options and addresses so as to mislead: it is told as it is."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel.live import Live, run
from tests.kernel.net import Namespace, ip

LO = "127.0.0.1"
ABSENT = "10.99.99.99"
IP_FREEBIND = 15

EVIL = "\x1b[2J\n\u202egpj"
"""Clears a terminal, begins a line, and turns what follows round: as long as a comm may be."""

DEVICE = "\x1b[31m\u202er$(id)"

# As a process of that name: refuses a datagram for the device it is bound to.
PROGRAM = f"""
import ctypes, socket
ctypes.CDLL(None).prctl(15, {EVIL!r}.encode())
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, {DEVICE!r}.encode())
server.bind(("0.0.0.0", 8801))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("127.0.0.1", 8801))
sender.send(b"refused")
print(flush=True)
input()
"""


@pytest.fixture
def evil() -> Iterator[Namespace]:
    """A namespace of such a name, with a device of one."""
    with Namespace(f"x{EVIL}") as namespace:
        ip("-n", namespace.name, "link", "add", DEVICE, "type", "dummy")
        yield namespace


def harmless(text: str) -> bool:
    """Whether a terminal shows it line by line as it is."""
    return all(line.isprintable() for line in text.split("\n"))


def test_names_that_would_move_a_terminals_cursor(live: Live, evil: Namespace) -> None:
    """Each is told as it is, in JSON, and is harmless in whatever is printed."""
    command = ("python3", "-c", PROGRAM)
    process = evil.inside(
        lambda: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    incident = live.incident(dport=8801)
    listing = run("sockets", "-N", str(evil.inum))
    process.stdin.close()
    process.stdout.close()
    process.wait()
    assert incident["cause"] == "device"
    assert incident["mismatch"][0]["socket"] == DEVICE
    assert incident["netns"]["name"] == evil.name
    assert {process["comm"] for process in incident["socket"]["processes"]} == {EVIL}
    assert DEVICE not in json.dumps(incident, ensure_ascii=False)
    assert harmless(b"".join(live.lines).decode())
    assert harmless(listing.stdout)
    assert listing.stdout.count("8801") > 1
    assert harmless(live.stderr())


def test_a_device_that_is_gone_is_told_by_its_number(live: Live, box: Namespace) -> None:
    box.ip("link add gone type dummy")
    index = json.loads(box.run("ip", "-j", "link", "show", "gone"))[0]["ifindex"]
    server = box.udp()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"gone")
    server.bind(("0.0.0.0", 8802))
    box.ip("link delete gone")
    box.udp(bind=(LO, 7802)).sendto(b"refused", (LO, 8802))
    incident = live.incident(dport=8802)
    assert (incident["cause"], incident["socket"]["device"]) == ("device", str(index))


def test_an_address_that_is_nowhere(live: Live, box: Namespace) -> None:
    """IP_FREEBIND: the socket is shown with it, and hears nothing."""
    server = box.udp()
    server.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    server.bind((ABSENT, 8803))
    box.udp(bind=(LO, 7803)).sendto(b"refused", (LO, 8803))
    incident = live.incident(dport=8803)
    assert incident["cause"] == "local-address"
    assert incident["socket"]["local"] == f"{ABSENT}:8803"
