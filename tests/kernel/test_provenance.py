"""How a field that refused came to its value: every way made to happen for real, each beside the
history that looks like it and is another."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.live import Json, Live, run, wait_for
from tests.kernel.net import Namespace, arrival, disconnect, ip, received

LO = "127.0.0.1"
A, B, C = "127.0.0.11", "127.0.0.12", "127.0.0.13"
OLDER = "not seen: older than the trace"

# Does a call on the socket it has inherited; ends when its standard input does.
CALLER = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as sock:
    {call}
    print("done", flush=True)
    sys.stdin.read()
"""

# Takes a socket over a UNIX socket and holds it until its standard input ends.
TAKER = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as channel:
    _, fds, _, _ = socket.recv_fds(channel, 16, 1)
print("done", flush=True)
sys.stdin.read()
"""


def set_by(incident: Json, field: str) -> Json:
    """What the incident says of the one check with this field."""
    (check,) = [check for check in incident["mismatch"] if check["field"] == field]
    made: Json = check["set_by"]
    assert made["to"] == check["socket"]
    return made


def refused(live: Live, box: Namespace, port: int, src: str = B, dst: str = LO) -> Json:
    """The incident of a datagram from ``src``, its port 1000 below, that misses."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    with box.udp(bind=(src, port - 1000), family=family) as client:
        client.sendto(b"refused", (dst, port))
        return live.incident(src=src, dport=port)


def taken(box: Namespace, server: socket.socket, src: str, dst: str) -> None:
    """A datagram that the server takes: what looks alike must not be refused."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    port = server.getsockname()[1]
    with box.udp(bind=(src, port - 1000), family=family) as client:
        client.sendto(b"taken", (dst, port))
        assert arrival(server) == b"taken"


@contextmanager
def process(code: str, *fds: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process with inherited descriptors, which has said that it is done."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, fds)],
        pass_fds=fds,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"done\n"
        yield child


# bind() and autobind


def test_bind(live: Live, box: Namespace) -> None:
    box.udp(bind=(A, 7800))
    made = set_by(refused(live, box, 7800), "local-address")
    assert (made["call"], made["requested"], made["source"]) == ("bind", f"{A}:7800", "requested")
    assert (made["from"], made["to"]) == ("0.0.0.0", A)
    assert (made["seen"], made["why"], made["kept_by"]) == (True, None, None)
    assert made["by"]["pid"] == os.getpid()
    assert made["holds"] is True
    assert made["time"] is not None


def test_a_bound_address_is_kept_by_connect(live: Live, box: Namespace) -> None:
    """Beside the route's choice: it looks the same in the four-tuple."""
    box.udp(bind=(A, 7801)).connect((B, 6801))
    incident = refused(live, box, 7801)
    made = set_by(incident, "local-address")
    assert (made["call"], made["source"]) == ("bind", "requested")
    assert made["kept_by"]["call"] == "connect"
    assert incident["socket"]["connect"]["source"] == "bound"


def test_the_route_chooses_at_connect(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("0.0.0.0", 7802))
    taken(box, server, B, C)
    server.connect((A, 6802))
    incident = refused(live, box, 7802, src=A, dst=C)
    made = set_by(incident, "local-address")
    assert (made["call"], made["requested"], made["source"]) == ("connect", f"{A}:6802", "route")
    assert (made["from"], made["to"]) == ("0.0.0.0", LO)
    port = incident["socket"]["port_set_by"]
    assert (port["call"], port["to"], port["source"]) == ("bind", "7802", "requested")


def test_autobind_in_connect_and_in_send(live: Live, box: Namespace) -> None:
    """The port's history: chosen by the kernel, in whichever call; or by bind() to port 0."""
    connected = box.udp(connect=(A, 6999))
    sending = box.udp()
    sending.sendto(b"x", (LO, 9))
    bound = box.udp(bind=(LO, 0))
    bound.connect((A, 6999))
    for sock, call, requested in (
        (connected, "autobind", None),
        (sending, "autobind", None),
        (bound, "bind", f"{LO}:0"),
    ):
        if sock is sending:
            sock.connect((A, 6999))
        port = sock.getsockname()[1]
        with box.udp(bind=(B, 6999)) as client:
            client.sendto(b"refused", (LO, port))
            made = live.incident(dport=port)["socket"]["port_set_by"]
        assert (made["call"], made["source"]) == (call, "kernel-chosen")
        assert (made["requested"], made["from"], made["to"]) == (requested, None, str(port))
        assert made["by"]["pid"] == os.getpid()


# Reconnects


def test_a_reconnect_says_from_whom(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7805), connect=(A, 6805))
    first = set_by(refused(live, box, 7805), "remote-address")
    server.connect((C, 6805))
    with box.udp(bind=(B, 6805)) as client:
        client.sendto(b"refused", (LO, 7805))
        wait_for(lambda: len(live.incidents(src=B, dport=7805)) == 2, "the second verdict")
    by_peer = {
        incident["mismatch"][0]["socket"]: set_by(incident, "remote-address")
        for incident in live.incidents(src=B, dport=7805)
    }
    assert set(by_peer) == {A, C}
    # The miss between the two still names the first.
    assert by_peer[A]["time"] == first["time"]
    assert (first["from"], first["requested"], first["connects"]) == (None, f"{A}:6805", 1)
    last = by_peer[C]
    assert (last["from"], last["requested"], last["connects"]) == (A, f"{C}:6805", 2)


def test_a_reconnect_keeps_the_address_of_the_first(live: Live, box: Namespace) -> None:
    """It looks as if the last connect() had chosen it."""
    ip("-n", box.name, "link", "add", "dummy0", "type", "dummy")
    ip("-n", box.name, "link", "set", "dummy0", "up")
    ip("-n", box.name, "address", "add", "10.9.0.1/24", "dev", "dummy0")
    server = box.udp(bind=("0.0.0.0", 7806), connect=("10.9.0.1", 6806))
    server.connect((A, 6806))
    assert server.getsockname()[0] == "10.9.0.1"
    made = set_by(refused(live, box, 7806, src=A), "local-address")
    assert (made["requested"], made["source"]) == ("10.9.0.1:6806", "route")
    assert made["kept_by"]["requested"] == f"{A}:6806"


# connect(AF_UNSPEC)


def test_disconnected_and_connected_anew(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("0.0.0.0", 7807), connect=(A, 6807))
    disconnect(server)
    server.connect((C, 6807))
    incident = refused(live, box, 7807, dst=A)
    peer, local = set_by(incident, "remote-address"), set_by(incident, "local-address")
    assert (peer["from"], peer["requested"], peer["connects"]) == (None, f"{C}:6807", 2)
    # The disconnect took the route's first choice away: the second connect() made one anew.
    assert (local["from"], local["requested"]) == ("0.0.0.0", f"{C}:6807")
    assert local["kept_by"] is None


def test_a_disconnect_leaves_what_bind_named(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(A, 7808), connect=(C, 6808))
    disconnect(server)
    incident = refused(live, box, 7808)
    assert incident["socket"]["peer"] is None
    assert [check["field"] for check in incident["mismatch"]] == ["local-address"]
    assert set_by(incident, "local-address")["call"] == "bind"


def test_after_a_disconnect_ipv4_takes_anyone_and_ipv6_does_not(live: Live, box: Namespace) -> None:
    """IPv6 goes on comparing the address of the peer it has no more."""
    four = box.udp(bind=("0.0.0.0", 7809), connect=(A, 6809))
    disconnect(four)
    taken(box, four, B, LO)
    ip("-n", box.name, "address", "add", "fd00::1/128", "dev", "lo", "nodad")
    six = box.udp(bind=("::", 7810), connect=("fd00::1", 6810), family=socket.AF_INET6)
    disconnect(six)
    taken(box, six, "fd00::1", "::1")
    incident = refused(live, box, 7810, src="::1", dst="::1")
    assert incident["cause"] == "remote-address"
    made = set_by(incident, "remote-address")
    assert (made["call"], made["requested"]) == ("connect", "[fd00::1]:6810")
    assert made["kept_by"]["call"] == "disconnect"
    assert incident["socket"]["peer"] is None
    assert "connect(AF_UNSPEC)" in incident["advice"][0]
    assert live.incidents(dport=7809) == []


# Whose call it was


def test_a_child_connects_the_socket_of_its_parent(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7811))
    code = CALLER.format(call=f"sock.connect(('{A}', 6811))")
    with process(code, server.fileno()) as child:
        pass
    incident = refused(live, box, 7811)
    made = set_by(incident, "remote-address")
    assert made["by"]["pid"] == child.pid
    assert made["holds"] is False
    assert [holder["pid"] for holder in incident["socket"]["processes"]] == [os.getpid()]
    # bind() was the parent's.
    assert incident["socket"]["port_set_by"]["by"]["pid"] == os.getpid()


def test_a_child_that_stays_holds_it_too(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7812))
    code = CALLER.format(call=f"sock.connect(('{A}', 6812))")
    with process(code, server.fileno()) as child:
        incident = refused(live, box, 7812)
    made = set_by(incident, "remote-address")
    assert (made["by"]["pid"], made["holds"]) == (child.pid, True)
    holders = {holder["pid"] for holder in incident["socket"]["processes"]}
    assert holders == {os.getpid(), child.pid}


def test_a_socket_handed_to_another_process(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7813), connect=(A, 6813))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [server.fileno()])
        with process(TAKER, theirs.fileno()) as taker:
            server.close()
            incident = refused(live, box, 7813)
    made = set_by(incident, "remote-address")
    assert (made["by"]["pid"], made["holds"]) == (os.getpid(), False)
    assert [holder["pid"] for holder in incident["socket"]["processes"]] == [taker.pid]
    assert incident["socket"]["closed"] is None


def test_a_socket_handed_on_between_two_misses(live: Live, box: Namespace) -> None:
    """The holder of the first miss is not the holder of the second."""
    server = box.udp(bind=(LO, 7814), connect=(A, 6814))
    incident = refused(live, box, 7814)
    assert [holder["pid"] for holder in incident["socket"]["processes"]] == [os.getpid()]
    code = CALLER.format(call=f"sock.connect(('{C}', 6814))")
    with process(code, server.fileno()) as child:
        server.close()
        refused_again(box, 7814)
        _wait_for_holders(live, 7814, C, {child.pid})


def refused_again(box: Namespace, port: int) -> None:
    with box.udp(bind=(B, port - 1000)) as client:
        client.sendto(b"refused", (LO, port))


def _wait_for_holders(live: Live, port: int, peer: str, pids: set[int]) -> None:
    def found() -> bool:
        return any(
            {holder["pid"] for holder in incident["socket"]["processes"]} == pids
            for incident in live.incidents(dport=port)
            if incident["mismatch"][0]["socket"] == peer
        )

    wait_for(found, lambda: f"holders {pids}; there are {live.incidents(dport=port)}")


# Failed calls


def test_a_failed_connect_changes_nothing(live: Live, box: Namespace) -> None:
    server = box.udp(bind=(LO, 7815), connect=(A, 6815))
    with pytest.raises(OSError, match="unreachable") as failed:
        server.connect(("192.0.2.1", 6815))
    assert failed.value.errno == errno.ENETUNREACH
    made = set_by(refused(live, box, 7815), "remote-address")
    assert (made["requested"], made["from"], made["connects"]) == (f"{A}:6815", None, 1)


# IPv6, and IPv4-mapped


def test_ipv6(live: Live, box: Namespace) -> None:
    ip("-n", box.name, "address", "add", "fd00::1/128", "dev", "lo", "nodad")
    server = box.udp(bind=("::", 7816), family=socket.AF_INET6)
    server.connect(("::1", 6816))
    incident = refused(live, box, 7816, src="fd00::1", dst="fd00::1")
    local, peer = set_by(incident, "local-address"), set_by(incident, "remote-address")
    assert (local["call"], local["from"], local["source"]) == ("connect", "::", "route")
    assert (peer["call"], peer["from"], peer["requested"]) == ("connect", None, "[::1]:6816")


def test_mapped(live: Live, box: Namespace) -> None:
    server = box.udp(bind=("::", 7817), family=socket.AF_INET6)
    server.connect((f"::ffff:{A}", 6817))
    incident = refused(live, box, 7817, dst=C)
    local, peer = set_by(incident, "local-address"), set_by(incident, "remote-address")
    assert (local["call"], local["from"], local["to"]) == ("connect", "::", LO)
    assert local["source"] == "route"
    assert (peer["from"], peer["to"]) == (None, A)
    assert peer["requested"] == f"[::ffff:{A}]:6817"


def test_an_ipv6_address_makes_a_socket_ipv6_only(live: Live, box: Namespace) -> None:
    box.udp(bind=("::1", 7818), family=socket.AF_INET6)
    made = set_by(refused(live, box, 7818), "ipv6-only")
    assert (made["call"], made["from"], made["to"]) == ("bind", "ipv4 and ipv6", "ipv6")


def test_an_option_is_not_traced(live: Live, box: Namespace) -> None:
    """Beside bind(): setsockopt() makes the same of it, and no probe sees it."""
    server = box.udp(family=socket.AF_INET6)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind(("::", 7819))
    made = set_by(refused(live, box, 7819), "ipv6-only")
    assert (made["call"], made["seen"], made["by"], made["holds"]) == (None, False, None, None)
    assert made["why"].startswith("not traced: set by setsockopt(IPV6_V6ONLY)")


# Devices


def test_a_device_by_setsockopt_and_by_a_link_local_connect(live: Live, box: Namespace) -> None:
    for name in ("dummy0", "dummy1"):
        ip("-n", box.name, "link", "add", name, "type", "dummy")
        ip("-n", box.name, "link", "set", name, "up")
    ip("-n", box.name, "address", "add", "fe80::9/64", "dev", "dummy0", "nodad")
    option = box.udp()
    option.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"dummy0")
    option.bind(("0.0.0.0", 7820))
    made = set_by(refused(live, box, 7820), "device")
    assert (made["call"], made["why"]) == (None, "not traced: set by setsockopt(SO_BINDTODEVICE)")
    scope = _ifindex(box, "dummy0")
    linked = box.udp(bind=("::", 7821), family=socket.AF_INET6)
    linked.connect(("fe80::9", 6821, 0, scope))
    incident = refused(live, box, 7821, src="::1", dst="::1")
    made = set_by(incident, "device")
    assert (made["call"], made["from"], made["to"]) == ("connect", "unbound", "dummy0")


def test_a_disconnect_unbinds_from_the_interface(live: Live, box: Namespace) -> None:
    """And what was refused for its interface is taken."""
    ip("-n", box.name, "link", "add", "dummy0", "type", "dummy")
    server = box.udp()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"dummy0")
    server.bind(("0.0.0.0", 7822))
    assert refused(live, box, 7822)["cause"] == "device"
    disconnect(server)
    taken(box, server, B, LO)
    server.connect((A, 6822))
    refused_again(box, 7822)
    wait_for(lambda: live.incidents(dport=7822, cause="remote-address"), "a refusal for its peer")


def _ifindex(box: Namespace, name: str) -> int:
    inside = ["ip", "netns", "exec", box.name, "cat", f"/sys/class/net/{name}/ifindex"]
    return int(subprocess.run(inside, capture_output=True, check=True).stdout)


# Older than the trace


def test_what_was_there_before_the_trace_is_said_not_to_be_seen(
    tmp_path: Path, box: Namespace
) -> None:
    """One trace of its own, and beside each old value one that was set anew."""
    tied = box.udp(bind=("0.0.0.0", 7830), connect=(A, 6830))
    bound = box.udp(bind=(A, 7831))
    again = box.udp(bind=(LO, 7832), connect=(A, 6832))
    code = CALLER.format(call=f"sock.connect(('{A}', 6833))")
    inherited = box.udp(bind=(LO, 7833))
    with process(code, inherited.fileno()):
        pass
    trace = Live(tmp_path, "-N", box.name)
    try:
        again.connect((C, 6832))
        fresh = box.udp(bind=(LO, 7834), connect=(A, 6834))
        incidents = {
            port: refused(trace, box, port, dst=dst)
            for port, dst in ((7830, C), (7831, LO), (7832, LO), (7833, LO), (7834, LO))
        }
    finally:
        trace.stop()
    for port, field, source in (
        (7830, "local-address", "route"),
        (7830, "remote-address", None),
        (7831, "local-address", "bound"),
        (7833, "remote-address", None),
    ):
        made = set_by(incidents[port], field)
        assert (made["seen"], made["why"], made["source"]) == (False, OLDER, source), port
        assert (made["call"], made["time"], made["by"], made["from"]) == (None,) * 4
    # Seen, and from a value that was not.
    made = set_by(incidents[7832], "remote-address")
    assert (made["seen"], made["from"], made["connects"]) == (True, A, 1)
    assert incidents[7832]["socket"]["port_set_by"]["why"] == OLDER
    assert set_by(incidents[7834], "remote-address")["seen"] is True
    text = " ".join(run("replay", str(trace.recording)).stdout.split())
    assert f"a connect() {OLDER}" in text
    assert f"a bind() {OLDER}" in text
    for sock in (tied, bound, again, inherited, fresh):
        assert received(sock) == []
