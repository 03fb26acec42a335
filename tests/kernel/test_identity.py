"""Numbers and addresses that mean two things: each incident names its own, never the other's.

Two namespaces with the same addresses and devices; a pid, a struct sock and a namespace's inode
number that are in use again.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.kernel.live import DEADLINE_S, Json, Live, wait_for
from tests.kernel.net import Namespace, ip

LO = "127.0.0.1"
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")

# The same addresses


@pytest.fixture
def twins() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces that nothing but their names tells apart."""
    with Namespace("twin") as one, Namespace("twin") as other:
        for namespace in (one, other):
            ip("-n", namespace.name, "link", "add", "eth0", "type", "dummy")
            ip("-n", namespace.name, "address", "add", "10.9.0.1/24", "dev", "eth0")
            ip("-n", namespace.name, "link", "set", "eth0", "up")
        yield one, other


@pytest.mark.parametrize(("order", "port"), [((0, 1), 7540), ((1, 0), 7541)])
def test_twins_one_after_the_other(
    live: Live, twins: tuple[Namespace, Namespace], order: tuple[int, int], port: int
) -> None:
    clients = [_refused_client(namespace, port) for namespace in twins]
    for which in order:
        clients[which].send(b"refused")
    _each_names_its_own(live, twins, port)


def test_twins_at_the_same_time(live: Live, twins: tuple[Namespace, Namespace]) -> None:
    ports = range(7570, 7580)
    barrier = threading.Barrier(2)

    def send(namespace: Namespace) -> None:
        clients = [_refused_client(namespace, port) for port in ports]
        for client in clients:
            barrier.wait(DEADLINE_S)
            client.send(b"refused")

    threads = [threading.Thread(target=send, args=(namespace,)) for namespace in twins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for port in ports:
        _each_names_its_own(live, twins, port)


def _refused_client(namespace: Namespace, port: int) -> socket.socket:
    """A client whose datagram the server, connected to another peer, refuses."""
    namespace.udp(bind=("10.9.0.1", port), connect=("10.9.0.1", 6540))
    return namespace.udp(bind=(LO, port - 1000), connect=("10.9.0.1", port))


def _each_names_its_own(live: Live, namespaces: Iterable[Namespace], port: int) -> None:
    for namespace in namespaces:
        incident = _told_in(live, namespace, port)
        assert incident["cause"] == "remote-address"
        assert incident["datagram"]["ifname"] == "eth0"
        assert incident["netns"]["name"] == namespace.name
        assert incident["socket"]["connect"]["after"]["local"] == f"10.9.0.1:{port}"
        assert [t["socket"]["local"] for t in incident["told"]] == [f"{LO}:{port - 1000}"]
        parts = [incident["socket"], incident["origin"], incident["told"][0]["socket"]]
        assert [part["netns"]["inum"] for part in parts] == [namespace.inum] * 3
        assert incident["caveats"] == []


def _told_in(live: Live, namespace: Namespace, port: int) -> Json:
    """The one incident on a port whose datagram missed in a namespace, once its sender was told."""

    def found() -> list[Json]:
        here = [i for i in live.incidents(dport=port) if i["netns"]["inum"] == namespace.inum]
        return [i for i in here if i["told"]]

    wait_for(found, lambda: f"told in {namespace.name}; there are {live.incidents(dport=port)}")
    (incident,) = found()
    return incident


def test_pairs_with_the_same_addresses(live: Live) -> None:
    """Two clients, two servers, two cables, and nothing else to tell one pair from the other."""
    with ExitStack() as stack:
        pairs = [_pair(stack) for _ in range(2)]
        clients = []
        for client, server in pairs:
            server.udp(bind=("10.8.0.2", 7542), connect=("10.8.0.1", 6999))
            clients.append(client.udp(bind=("10.8.0.1", 6542), connect=("10.8.0.2", 7542)))
        for sender, (client, server) in zip(clients, pairs, strict=True):
            sender.send(b"refused")
            incident = _told_in(live, server, 7542)
            assert incident["cause"] == "remote-port"
            assert incident["socket"]["netns"]["inum"] == server.inum
            assert [t["socket"]["netns"]["inum"] for t in incident["told"]] == [client.inum]
            assert incident["origin"]["netns"]["inum"] == client.inum


def test_pairs_with_the_same_addresses_at_the_same_time(live: Live) -> None:
    """Who was told of which can be beyond knowing: then nobody is named, and that is said."""
    with ExitStack() as stack:
        pairs = [_pair(stack) for _ in range(2)]
        clients = []
        for client, server in pairs:
            server.udp(bind=("10.8.0.2", 7543), connect=("10.8.0.1", 6999))
            clients.append(client.udp(bind=("10.8.0.1", 6543), connect=("10.8.0.2", 7543)))
        for sender in clients:
            sender.send(b"refused")
        wait_for(lambda: len(live.incidents(dport=7543)) == 2, "two incidents")
        of = {i["netns"]["inum"]: i for i in live.incidents(dport=7543)}
        for client, server in pairs:
            incident = of[server.inum]
            assert incident["socket"]["netns"]["inum"] == server.inum
            told = [t["socket"]["netns"]["inum"] for t in incident["told"]]
            assert told in ([client.inum], [])
            assert told or incident["origin"] is None
            assert told or incident["caveats"]


def _pair(stack: ExitStack) -> tuple[Namespace, Namespace]:
    """A client's and a server's namespace, joined by a cable."""
    client, server = stack.enter_context(Namespace("cl")), stack.enter_context(Namespace("se"))
    ip("-n", client.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0",
       "netns", server.name)  # fmt: skip
    for namespace, address in ((client, "10.8.0.1/24"), (server, "10.8.0.2/24")):
        ip("-n", namespace.name, "address", "add", address, "dev", "eth0")
        ip("-n", namespace.name, "link", "set", "eth0", "up")
    return client, server


# A pid in use again

PROGRAM = """
import os, socket, sys
open("/proc/self/comm", "w").write(sys.argv[1])
def udp(bind, connect=None):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(bind)
    if connect:
        sock.connect(connect)
    return sock
kept = eval(sys.argv[2])
print("ready", flush=True)
os.read(0, 1)
if len(sys.argv) > 3 and os.fork() == 0:
    open("/proc/self/comm", "w").write(sys.argv[3])
    print("forked", flush=True)
    os.read(0, 1)
"""


@contextmanager
def _program(
    box: Namespace, name: str, sockets: str, heir: str | None = None, pid: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program with these sockets, under this pid; told to go on, it ends, or leaves an heir."""
    command = ["ip", "netns", "exec", box.name, sys.executable, "-c", PROGRAM, name, sockets]
    command += [heir] if heir else []
    process = _popen(command) if pid is None else _popen_as(pid, command)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(DEADLINE_S)
        process.stdout.close()


def _popen(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def _popen_as(pid: int, command: list[str]) -> subprocess.Popen[bytes]:
    """Start it again and again until no other process came between the wish and the fork."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        LAST_PID.write_text(str(pid - 1))
        process = _popen(command)
        if process.pid == pid:
            return process
        process.kill()
        process.communicate()
        assert time.monotonic() < deadline, f"pid {pid} is not to be had"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it go on, and take its exit status, which sets its pid free."""
    assert process.stdin is not None
    process.stdin.write(b"x")
    process.wait(DEADLINE_S)


def _process_of(live: Live, box: Namespace, port: int) -> Json:
    """What an incident says of the process that holds a socket of ours on a port."""
    box.udp(bind=("127.0.0.8", 6549), connect=(LO, port)).send(b"refused")
    incident = live.incident(dport=port)
    (process,) = incident["socket"]["processes"]
    assert isinstance(process, dict)
    return process


def test_a_pid_reused_after_a_connect(live: Live, box: Namespace) -> None:
    """The socket lives on in an heir; the pid of the one that connected it is another's by now."""
    tied = f'udp(("{LO}", 7545), ("127.0.0.9", 6545))'
    with _program(box, "first", tied, heir="heir") as first:
        _end(first)
        assert first.stdout is not None
        assert first.stdout.readline() == b"forked\n"
        other = f'udp(("{LO}", 7546), ("127.0.0.9", 6545))'
        with _program(box, "second", other, pid=first.pid):
            second = _process_of(live, box, 7546)
            assert (second["comm"], second["pid"]) == ("second", first.pid)
            box.udp(bind=("127.0.0.8", 6545), connect=(LO, 7545)).send(b"refused")
            incident = live.incident(dport=7545)
    by = incident["socket"]["connect"]["by"]
    assert (by["comm"], by["pid"]) == ("first", first.pid)
    assert by["start_time"] < second["start_time"]
    assert [p["comm"] for p in incident["socket"]["processes"]] == ["heir"]


def test_a_pid_reused_after_a_close(live: Live, box: Namespace) -> None:
    with _program(box, "first", f'udp(("{LO}", 7547))') as first:
        _end(first)
        other = f'udp(("{LO}", 7548), ("127.0.0.9", 6545))'
        with _program(box, "second", other, pid=first.pid):
            second = _process_of(live, box, 7548)
            assert (second["comm"], second["pid"]) == ("second", first.pid)
            box.udp(connect=(LO, 7547)).send(b"too late")
            incident = live.incident(dport=7547)
    assert incident["cause"] == "closed"
    named = [incident["socket"]["closed"]["by"], *incident["socket"]["processes"]]
    assert {(p["comm"], p["pid"]) for p in named} == {("first", first.pid)}
    assert all(p["start_time"] < second["start_time"] for p in named)


def test_a_pid_reused_after_sending(live: Live, box: Namespace) -> None:
    """The sender is gone when its owner is asked for: the record of its connect() names it."""
    client = f'(s := udp(("{LO}", 6550), ("{LO}", 7550)), s.send(b"nobody"))'
    with _program(box, "first", client) as first:
        _end(first)
        other = f'udp(("{LO}", 7551), ("127.0.0.9", 6545))'
        with _program(box, "second", other, pid=first.pid):
            assert _process_of(live, box, 7551)["comm"] == "second"
            incident = live.incident(dport=7550)
    assert [p["comm"] for p in incident["origin"]["processes"]] == ["first"]
    assert [p["comm"] for p in incident["told"][0]["socket"]["processes"]] == ["first"]


# A struct sock in use again


def _recorded(live: Live, since: int, port: int, inum: int) -> list[Json]:
    """The calls and closes on a port of a namespace that have reached the recording, from a byte
    of it on."""
    with live.recording.open("rb") as recording:
        recording.seek(since)
        lines = recording.read().split(b"\n")[:-1]
    found = []
    for line in lines:
        if b'"lport":%d,' % port not in line:
            continue
        event = json.loads(line)
        view = {"call": "after", "close": "socket"}.get(event["kind"])
        if view and (event[view]["netns"], event[view]["lport"]) == (inum, port):
            found.append({**event, "view": event[view]})
    return found


def test_a_struct_sock_reused(live: Live, box: Namespace) -> None:
    """Of many sockets opened after many were closed, one lives where a dead one did."""
    since = _lines_end(live)
    for _ in range(200):
        dead = box.udp(bind=(LO, 7555), connect=("127.0.0.9", 6555))
        dead.close()
    wait_for(lambda: _count(live, since, box, "close") >= 200, "the closes in the recording")
    alive = {}
    for number in range(1, 101):
        sock = box.udp(bind=(f"127.2.0.{number}", 7555))
        alive[f"127.2.0.{number}"] = sock
    wait_for(lambda: _count(live, since, box, "call") >= 500, "the binds in the recording")
    events = _recorded(live, since, 7555, box.inum)
    dead_views = {e["view"]["sock"]: e["view"]["inode"] for e in events if e["kind"] == "close"}
    reused = [
        event["view"]
        for event in events
        if event["view"]["local"] in alive and event["view"]["sock"] in dead_views
    ]
    assert reused, "no struct sock was used again: the test proves nothing"
    (view, *_) = reused
    assert dead_views[view["sock"]] != view["inode"]

    for address, sock in alive.items():
        if address != view["local"]:
            sock.close()
    box.udp(bind=("127.0.0.8", 6556), connect=(LO, 7555)).send(b"refused")
    incident = live.incident(dport=7555, dst=LO)
    assert incident["cause"] == "local-address"
    assert incident["socket"]["inode"] == view["inode"]
    assert incident["socket"]["connect"] is None
    assert incident["socket"]["closed"] is None
    assert incident["candidates"] == 0

    # Closed in its turn, it is this one that was closed, and not the one that was there before.
    alive[view["local"]].close()
    box.udp(connect=(view["local"], 7555)).send(b"too late")
    incident = live.incident(dport=7555, dst=view["local"])
    assert incident["cause"] == "closed"
    assert incident["socket"]["inode"] == view["inode"]
    assert incident["socket"]["peer"] is None


def _count(live: Live, since: int, box: Namespace, kind: str) -> int:
    return sum(event["kind"] == kind for event in _recorded(live, since, 7555, box.inum))


def _lines_end(live: Live) -> int:
    """Where the recording's last whole line ends by now, in bytes."""
    return live.recording.read_bytes().rfind(b"\n") + 1


# A namespace's number in use again


# Several, so that one which something holds for long leaves others.
OLD = 3


def test_a_namespace_number_reused(live: Live) -> None:
    """What was closed in the namespace that had the number before is not what misses in this."""
    cookies = {}
    with ExitStack() as stack:
        for port in range(7561, 7561 + OLD):
            old = stack.enter_context(Namespace("old"))
            old.udp(bind=(LO, 7560))
            old.udp(bind=(LO, 6560), connect=(LO, port)).send(b"nobody")
            cookies[old.inum] = live.incident(dport=port)["netns"]["cookie"]
    with _with_number_of(cookies) as new:
        new.udp(bind=(LO, 6560), connect=(LO, 7560)).send(b"nobody")
        incident = live.incident(dport=7560)
        assert incident["netns"]["inum"] == new.inum
        assert incident["netns"]["name"] == new.name
        assert incident["origin"]["netns"]["name"] == new.name
        assert incident["told"][0]["socket"]["inode"] == incident["origin"]["inode"]
        cookie = cookies[new.inum]
        if cookie is None:
            # Before Linux 5.12 a namespace has no cookie: the number is all there is to go by.
            assert incident["cause"] in ("no-socket", "closed")
        else:
            assert incident["netns"]["cookie"] != cookie
            assert incident["cause"] == "no-socket"


def test_a_target_is_a_namespace_and_not_its_number(live: Live, tmp_path: Path) -> None:
    with ExitStack() as stack:
        old = [stack.enter_context(Namespace("old")) for _ in range(OLD)]
        trace = Live(tmp_path, *(word for one in old for word in ("-N", one.name)))
        old[0].udp().sendto(b"asked for", (LO, 7568))
        trace.incident(dport=7568)
    with _with_number_of([one.inum for one in old]) as new:
        new.udp().sendto(b"of another", (LO, 7569))
        cookie = live.incident(dport=7569)["netns"]["cookie"]
        trace.stop()
    # Before Linux 5.12 a namespace has no cookie: the number is all there is to go by.
    assert len(trace.incidents(dport=7569)) == (cookie is None)


@contextmanager
def _with_number_of(inums: Collection[int]) -> Iterator[Namespace]:
    """A new namespace with one of these numbers, which are given again once they are free."""
    deadline = time.monotonic() + DEADLINE_S
    with ExitStack() as stack:
        while time.monotonic() < deadline:
            made = stack.enter_context(Namespace("new"))
            if made.inum in inums:
                yield made
                return
        raise AssertionError(f"no new namespace got one of the numbers {inums}")
