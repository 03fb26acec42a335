"""`udptrace sockets` against ss and /proc on the same machine, and the seed's example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.live import run, wait_for
from tests.kernel.net import Namespace, link
from tests.kernel.settings import setting
from tests.kernel.socket_zoo import Known, zoo
from tests.kernel.ss import listed_by_ss

COPIES = 5
GOLDEN = Path(__file__).resolve().parents[1] / "golden"

# The seed's client: an autobind in sendto(), then it waits.
CLIENT = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, b"client")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(b"hello", ("127.0.0.1", 9))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""

Json = dict[str, Any]


@pytest.fixture(scope="module")
def crowded() -> Iterator[dict[str, tuple[Namespace, list[Known]]]]:
    """Two linked namespaces with sockets of every kind, and one with the kernel's own."""
    with ExitStack() as stack:
        one, two, own = (stack.enter_context(Namespace(name)) for name in ("zoo", "zoo", "own"))
        link(one, two)
        found = {}
        for namespace, address in ((one, "10.9.0.1"), (two, "10.9.0.2")):
            namespace.ip(f"address add {address}/24 dev eth0")
            known = stack.enter_context(zoo(namespace, address, COPIES))
            found[namespace.name] = (namespace, known)
        own.ip("link add tunnel type vxlan id 7 dstport 4789 dev lo", "link set tunnel up")
        found[own.name] = (own, [])
        yield found


@pytest.fixture(scope="module")
def listed(crowded: dict[str, tuple[Namespace, list[Known]]]) -> dict[str, dict[int, Json]]:
    """What `sockets` prints of the whole machine: by namespace and cookie."""
    done = run("sockets", "-f", "json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, dict[int, Json]] = {name: {} for name in crowded}
    for line in done.stdout.splitlines():
        socket = json.loads(line)
        assert (socket["kind"], socket["schema"]) == ("socket", 1)
        found.setdefault(socket["netns"]["name"], {})[int(socket["cookie"])] = socket
    return found


def test_no_socket_is_missing_or_invented_and_all_that_ss_tells_is_equal(
    crowded: dict[str, tuple[Namespace, list[Known]]], listed: dict[str, dict[int, Json]]
) -> None:
    for name, (namespace, known) in crowded.items():
        by_ss = listed_by_ss(namespace)
        assert len(by_ss) >= len(known) > 100 or name.startswith("own")
        assert listed[name].keys() == by_ss.keys()
        for cookie, told in by_ss.items():
            assert as_ss(listed[name][cookie]) == told


def as_ss(socket: Json) -> Json:
    """The fields that ss has, as it has them."""
    memory = socket["memory"]
    letters = {"r": "rmem_alloc", "rb": "rcvbuf", "t": "wmem_alloc", "tb": "sndbuf",
               "f": "fwd_alloc", "w": "wmem_queued", "o": "optmem", "bl": "backlog"}  # fmt: skip
    told = ("state", "rx", "tx", "local", "device", "peer", "inode", "uid", "v6only")
    return {
        **{name: socket[name] for name in told},
        "skmem": {**{k: memory[v] for k, v in letters.items()}, "d": socket["drops"]},
        "processes": sorted((p["comm"], p["pid"], p["fd"]) for p in socket["processes"]),
    }


def test_proc_has_the_same_sockets(
    crowded: dict[str, tuple[Namespace, list[Known]]], listed: dict[str, dict[int, Json]]
) -> None:
    for name, (namespace, _) in crowded.items():
        files = ("/proc/thread-self/net/udp", "/proc/thread-self/net/udp6")
        rows = [
            line.split()
            for text in (namespace.run("cat", file) for file in files)
            for line in text.splitlines()[1:]
        ]
        by_proc = sorted((int(row[9]), int(row[7]), int(row[12])) for row in rows)
        shown = listed[name].values()
        assert sorted((s["inode"], s["uid"], s["drops"]) for s in shown) == by_proc


def test_the_columns_of_ss_are_the_same_without_anything_looked_up(
    crowded: dict[str, tuple[Namespace, list[Known]]], listed: dict[str, dict[int, Json]]
) -> None:
    columns = ("state", "rx", "tx", "local", "peer")
    for name in crowded:
        done = run("sockets", "-N", name, "-f", "csv", "--columns", ",".join(columns))
        assert (done.returncode, done.stderr) == (0, "")
        rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
        shown = [[str(s[c] if s[c] is not None else "none") for c in columns]
                 for s in listed[name].values()]  # fmt: skip
        assert sorted(rows) == sorted(shown)


def test_what_only_the_kernel_knows_is_what_was_done(
    crowded: dict[str, tuple[Namespace, list[Known]]], listed: dict[str, dict[int, Json]]
) -> None:
    for name, (_, known) in crowded.items():
        for socket in known:
            shown = listed[name][socket.cookie]
            group = shown["reuseport_group"]
            assert (
                Known(
                    socket.kind,
                    int(shown["cookie"]),
                    shown["port_origin"],
                    shown["address_bound"],
                    tuple((g["address"], g["device"], g["named_sources"]) for g in shown["groups"]),
                    shown["reuseport"],
                    group and group["members"],
                )
                == socket
            )
            assert (shown["more_groups"], shown["kernel"]) == (False, False)


def test_the_kernels_own_socket_is_said_to_be(listed: dict[str, dict[int, Json]]) -> None:
    (own,) = (sockets for name, sockets in listed.items() if name.startswith("own"))
    assert {s["local"] for s in own.values()} >= {"0.0.0.0:4789"}
    assert all(s["kernel"] and s["processes"] == [] for s in own.values())


@contextmanager
def client(namespace: Namespace) -> Iterator[tuple[int, int]]:
    """The seed's client: its process and its port."""
    with namespace.inside(
        lambda: subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.communicate()


def test_the_seeds_client_is_not_said_to_listen(box: Namespace) -> None:
    with client(box) as (pid, port):
        (by_ss,) = box.run("ss", "-nuplH").splitlines()
        assert f"0.0.0.0:{port}" in by_ss
        done = run("sockets", "-l", "--fail-on", "kernel-chosen-any", "-N", box.name)
        assert done.returncode == 3, done.stderr
        selected, bad = done.stderr.splitlines()
        assert "UDP has no listening state" in selected
        assert "kernel-chosen-any: 1 socket" in bad
        assert seed(done.stdout, box, pid, port) == (GOLDEN / "sockets-client.txt").read_text()


def seed(printed: str, box: Namespace, pid: int, port: int) -> str:
    """The output with the seed's numbers; columns are as far apart as those make them."""
    for own, said in ((f":{port}", ":58395"), (f"[{pid}]", "[2092]"), (box.name, "box")):
        printed = printed.replace(own, said)
    head, row, rest = printed.split("\n", 2)
    cells = [re.split(r"  +", text) for text in (head, row)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in cells]
    return "\n".join([*lines, rest])


def test_without_rights_and_udp_diag_what_is_missing_is_said(box: Namespace) -> None:
    with client(box) as (_, port), setting(Path("/proc/sys/kernel/modprobe"), "/nowhere"):
        wait_for(_without_udp_diag, "udp_diag to be unloaded")
        rights = "-all,+sys_ptrace,+dac_read_search"
        command = ["setpriv", f"--bounding-set={rights}", "--inh-caps=-all",
                   "udptrace", "sockets", "-N", box.name, "-f", "json"]  # fmt: skip
        done = box.inside(
            lambda: subprocess.run(command, capture_output=True, text=True, check=False)
        )
    assert done.returncode == 0, done.stderr
    socket = json.loads(done.stdout)
    assert socket["local"] == f"0.0.0.0:{port}"
    no_iterator, no_diag = done.stderr.splitlines()
    assert "CAP_BPF" in no_iterator
    assert "/proc/net/udp was read instead" in no_diag
    unknown = ("port_origin", "groups", "reuseport", "memory", "kernel", "address_bound", "cookie")
    assert {name: socket[name] for name in unknown} == dict.fromkeys(unknown)
    assert (socket["state"], socket["drops"]) == ("UNCONN", 0)
    assert socket["accepts_from"] == "anyone (interface not known)"
    assert [p["comm"] for p in socket["processes"]] == ["client"]


def _without_udp_diag() -> bool:
    subprocess.run(["rmmod", "udp_diag"], capture_output=True, check=False)
    return "udp_diag" not in Path("/proc/modules").read_text()
