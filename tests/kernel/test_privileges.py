"""udptrace with capabilities instead of root, and in a container: what docs/privileges.md says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.live import DEADLINE_S, Json, Live
from tests.kernel.net import Namespace
from tests.kernel.settings import setting
from tracer.events import SocketView
from tracer.kernel.capabilities import CAPABILITIES
from tracer.system.door import Outside, View, look
from tracer.system.netns import Netns

USER = 1000

PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")

NEEDED = ("CAP_BPF", "CAP_PERFMON")
ENOUGH = (*NEEDED, "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYSLOG", "CAP_DAC_READ_SEARCH")
"""All that the page asks for but CAP_SYS_ADMIN."""


def bounded(*names: str, user: int = USER) -> list[str]:
    """What runs a command as that user with these capabilities and no others."""
    short = "".join(f",+{name.removeprefix('CAP_').lower()}" for name in names)
    # Before 5.11 BPF's memory is locked memory, of which a user may have little.
    return ["prlimit", "--memlock=unlimited", "setpriv", "--clear-groups",
            f"--reuid={user}", f"--regid={user}", f"--inh-caps=-all{short}",
            f"--ambient-caps=-all{short}", f"--bounding-set=-all{short}"]  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The single line of a start that failed."""
    assert done.returncode == 1, (done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    return line


def refused(*before: str) -> str:
    """Why a live trace does not start."""
    command = [*before, "udptrace", "live", "--duration", "0.1"]
    return one_line(
        subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    )


@pytest.fixture(scope="module", autouse=True)
def upstream() -> Iterator[None]:
    """kernel.perf_event_paranoid as the kernel's own authors have it; Debian's is 3."""
    with setting(PARANOID, "2"):
        yield


@dataclass(frozen=True)
class Peopled:
    """A namespace with a process of root in it, which has a socket that refuses."""

    namespace: Namespace
    pid: int


@pytest.fixture(scope="module")
def peopled() -> Iterator[Peopled]:
    """Its socket is connected to port 9 of its own loopback, from port 7100."""
    with Namespace("peopled") as namespace:
        code = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            "s.bind(('127.0.0.1', 7100)); s.connect(('127.0.0.1', 9)); print(flush=True); input()"
        )
        command = ["ip", "netns", "exec", namespace.name, "python3", "-c", code]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield Peopled(namespace, process.pid)
            process.communicate("\n")


# What no trace starts without


@pytest.mark.parametrize("name", NEEDED)
def test_one_that_is_needed_is_named(name: str) -> None:
    (use,) = (c.use for c in CAPABILITIES if c.name == name)
    line = refused(*bounded(*(c for c in ENOUGH if c != name)))
    assert line.startswith(f"udptrace: not allowed: {use} needs {name}: sudo udptrace, or ")


def test_a_root_without_them_is_told_where_to_give_them() -> None:
    line = refused(*bounded(user=0))
    assert "loading the probes needs CAP_BPF, attaching them needs CAP_PERFMON: " in line
    assert "docker run --cap-add=BPF --cap-add=PERFMON" in line


def test_debians_sysctl_takes_perfmon_away() -> None:
    """... and its remedy, as it is printed, gives it back."""
    PARANOID.write_text("3")
    line = refused(*bounded(*ENOUGH))
    assert "kernel.perf_event_paranoid is 3" in line
    remedy = line.rpartition(": ")[2].partition(",")[0]
    subprocess.run(remedy.split(), check=True, capture_output=True)
    assert PARANOID.read_text() == "2\n"


@pytest.mark.parametrize("hidden", ["/sys/kernel", "/sys/bus/event_source/devices"])
def test_a_masked_sys_is_said_to_be(hidden: str) -> None:
    script = f'mount -t tmpfs none {hidden}; exec "$@"'
    line = refused("unshare", "--mount", "sh", "-c", script, "sh")
    expected = "CONFIG_KPROBES" if hidden.endswith("devices") else "docker run -v /sys:/sys:ro"
    assert expected in line


def test_a_seccomp_filter_is_named() -> None:
    """It refuses a process what its capabilities would allow."""
    code = """if True:
        import ctypes, os, struct, sys
        # A filter in classic BPF: perf_event_open (298) is refused with EPERM, all else allowed.
        steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 298), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
        text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *s) for s in steps))
        program = struct.pack("=H6xQ", len(steps), ctypes.addressof(text))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(38, 1, 0, 0, 0) == libc.prctl(22, 2, program) == 0
        os.execvp(sys.argv[1], sys.argv[1:])
    """
    line = refused("python3", "-c", code)
    assert "a seccomp filter is in force" in line
    assert "--security-opt seccomp=unconfined" in line


# What a trace lacks without each

ABILITIES = """if True:
    import json, sys
    from tracer.kernel import symbols
    from tracer.kernel.capabilities import losses
    from tracer.events import FourTuple
    from tracer.system.conntrack import find_entry
    from tracer.system.netns import in_netns, list_netns, netns_inum
    from tracer.system.processes import holders_in
    pid, inum, inode = map(int, sys.argv[1:])

    def works(function):
        try:
            return bool(function())
        except OSError:
            return False

    print(json.dumps({
        "told": [finding.name for finding in losses()],
        "CAP_SYS_ADMIN": works(lambda: in_netns(list_netns()[inum], lambda: True)),
        "CAP_SYS_PTRACE": netns_inum(f"/proc/{pid}/ns/net") == inum,
        "CAP_DAC_READ_SEARCH": bool(holders_in([pid], {inode})),
        "CAP_NET_ADMIN": works(
            lambda: find_entry("ipv4", FourTuple("127.0.0.1", 1, "127.0.0.1", 2)) is None
        ),
        "CAP_SYSLOG": symbols.tells_addresses(),
    }))
"""


@pytest.fixture(scope="module")
def abilities(peopled: Peopled) -> Any:
    """Asks a process with some capabilities what it can do."""
    subprocess.run(["modprobe", "-a", "nf_conntrack_netlink"], check=True)
    inode = socket_inode(peopled.pid)

    def ask(*names: str) -> Json:
        script = [
            "python3",
            "-c",
            ABILITIES,
            str(peopled.pid),
            str(peopled.namespace.inum),
            str(inode),
        ]
        environment = {**os.environ, "PYTHONPATH": "/src"}
        done = subprocess.run(
            [*bounded(*names), *script],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: Json = json.loads(done.stdout)
        return found

    return ask


def socket_inode(pid: int) -> int:
    links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
    (inode,) = (int(link[8:-1]) for link in links if link.startswith("socket:["))
    return inode


USED = ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_SYSLOG")


def test_with_all_of_them_everything_works(abilities: Any) -> None:
    assert abilities(*NEEDED, *USED) == {"told": [], **dict.fromkeys(USED, True)}


@pytest.mark.parametrize("name", USED)
def test_one_is_taken_away(abilities: Any, name: str) -> None:
    """What the page says of it is lost, nothing else is, and its loss is told."""
    found = abilities(*NEEDED, *(other for other in USED if other != name))
    assert found.pop("told") == [name]
    lost = {ability for ability, works in found.items() if not works}
    # Whose descriptors may not be read, his sockets are not found either.
    also = {"CAP_DAC_READ_SEARCH"} if name == "CAP_SYS_PTRACE" else set()
    assert lost == {name} | also


# What is left, and what is said to be lost


@pytest.fixture(scope="module")
def outside(peopled: Peopled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A trace by a user with all but CAP_SYS_ADMIN, which enters no namespace but its own."""
    directory = tmp_path_factory.mktemp("bounded")
    os.chown(directory, USER, USER)
    directory.parent.chmod(0o755)
    directory.parent.parent.chmod(0o755)
    with Namespace("unpeopled") as unpeopled:
        unpeopled.udp(bind=("127.0.0.1", 7102))
        trace = Live(directory, before=bounded(*ENOUGH))
        yield trace
        trace.stop()
        # BCC's clean-up wants to look into tracefs, which a user may not.
        assert trace.process.returncode == 0, trace.stderr()


def test_a_miss_in_a_namespace_that_may_not_be_entered(outside: Live, peopled: Peopled) -> None:
    """All that the netcat incident needs, from outside."""
    sender = peopled.namespace.udp(bind=("127.0.0.1", 7101))
    sender.sendto(b"refused", ("127.0.0.1", 7100))
    incident = outside.incident(dport=7100)
    assert incident["cause"] == "remote-port"
    assert incident["netns"]["inum"] == peopled.namespace.inum
    assert incident["netns"]["name"] == peopled.namespace.name
    assert incident["datagram"]["ifname"] == "lo"
    (holder,) = incident["socket"]["processes"]
    assert (holder["pid"], holder["comm"]) == (peopled.pid, "python3")
    assert incident["icmp"]["status"] == "sent"


def test_what_it_loses_is_said_once(outside: Live) -> None:
    said = outside.stderr()
    assert said.count("without CAP_") == said.count("without CAP_SYS_ADMIN: other network") == 1
    assert said.count("no permission to enter; /proc/net/udp was read instead") == 1
    assert "network namespaces without a process are not known" in said


def test_proc_shows_the_sockets_that_udp_diag_shows(peopled: Peopled) -> None:
    """But for the cookies, devices and v6only flags that are said to be lost."""
    namespace = peopled.namespace
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        namespace.udp(bind=(address, 7103), family=family)
        namespace.udp(bind=(address, 0), connect=(address, 9), family=family)
    netns = Netns(namespace.inum, namespace.name, f"/run/netns/{namespace.name}", peopled.pid)
    inside = look(netns, partial(_sockets, netns))
    outside = Outside(Path(f"/proc/{peopled.pid}/net"))
    assert _sockets(netns, outside) == inside
    assert {view.lport for view in inside} > {7100, 7103}
    assert set(outside.addresses()) == set(look(netns, lambda view: view.addresses()))
    assert outside.links() == look(netns, lambda view: view.links())
    assert outside.counters() == look(netns, lambda view: view.counters())


def _sockets(netns: Netns, view: View) -> list[SocketView]:
    found = view.sockets(netns.inum, 0).sockets
    known = (replace(socket, cookie=0, device=0, v6only=None) for socket in found)
    return sorted(known, key=lambda socket: socket.inode)


@pytest.fixture
def no_new_netns() -> Iterator[None]:
    """Nobody may make a network namespace, as under a seccomp filter that forbids unshare()."""
    with setting(Path("/proc/sys/user/max_net_namespaces"), "0"):
        yield


def test_in_a_container_with_processes_of_its_own(
    tmp_path: Path, peopled: Peopled, no_new_netns: None
) -> None:
    """The trace goes on, and claims nothing by the container's process numbers.

    Its self-test was on the loopback, and none of that is shown.
    """
    own = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup")
    trace = Live(tmp_path, before=own)
    (said,) = (line for line in trace.stderr().splitlines() if "PID namespace" in line)
    assert "in a container's own PID namespace: who holds a socket is not looked up" in said
    peopled.namespace.udp().sendto(b"refused", ("127.0.0.1", 7100))
    incident = trace.incident(dport=7100)
    assert incident["cause"] == "remote-port"
    assert incident["socket"]["processes"] == []
    assert incident["netns"]["name"] == peopled.namespace.name
    assert trace.incidents() == [incident]
    trace.stop(signal.SIGKILL)  # unshare(1) waits, and takes no other; its child ends with it
    own_netns = f'"netns":{os.stat("/proc/self/ns/net").st_ino},'.encode()
    evidence = trace.recording.read_bytes().splitlines()
    happened = [line for line in evidence if b'"kind":"call"' in line or b'"kind":"miss"' in line]
    assert happened
    assert not any(own_netns in line for line in happened)
