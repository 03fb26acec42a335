"""`udptrace doctor` tells the truth about real kernels, healthy and ailing, and leaves nothing."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.live import Json
from tests.kernel.net import Namespace
from tests.kernel_table import column_of, said_of
from tracer.kernel.probes import PROBES, STATES

KPROBES = Path("/sys/kernel/debug/kprobes")

SAID = said_of(column_of(platform.release()))
"""What docs/kernels.md says of this kernel."""

# What a healthy one of these kernels lacks.
LACKING = {} if SAID["network namespaces have cookies"] == "yes" else {"netns cookies": "degraded"}


class Told:
    """What a run of the doctor said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.stderr = done.returncode, done.stderr
        *findings, self.conclusion = map(json.loads, done.stdout.splitlines())
        self.findings: dict[str, Json] = {finding["name"]: finding for finding in findings}
        assert len(self.findings) == len(findings), "a name told twice"

    def amiss(self) -> dict[str, str | None]:
        """What is not ok."""
        return {n: f["status"] for n, f in self.findings.items() if f["status"] != "ok"}

    def starts(self) -> bool:
        """Whether it says that a live trace would start, in all the ways in which it says so."""
        starts: bool = self.conclusion["starts"]
        assert (self.code, self.stderr == "") == ((0, True) if starts else (1, False))
        broken = [n for n, f in self.findings.items() if f["status"] == "broken"]
        assert bool(broken) is not starts
        if not starts:
            assert self.stderr == f"udptrace: {self.conclusion['reason']}\n"
        return starts


def doctor(*before: str, **options: Any) -> Told:
    """Run it, as the last arguments of another command if one is given."""
    done = subprocess.run(
        [*before, "udptrace", "doctor", "-f", "json"],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Told(done)


@pytest.fixture
def sysctl() -> Iterator[Any]:
    """Sets a file of /proc/sys or /sys; all are set back at the end, the last set first."""
    saved: dict[Path, str] = {}

    def put(path: Path, value: str) -> None:
        saved.setdefault(path, path.read_text())
        path.write_text(value)

    yield put
    for path, value in reversed(saved.items()):
        path.write_text(value)


def proc_sys(name: str) -> Path:
    return Path("/proc/sys") / name


def attached() -> list[str]:
    """The kprobes there are, whosever they are: the shared trace has some."""
    return sorted(line.split()[1] for line in (KPROBES / "list").read_text().splitlines())


@pytest.fixture(scope="module")
def healthy() -> Told:
    """The doctor on this kernel as it is."""
    before = attached()
    told = doctor()
    assert attached() == before, "probes are left"
    return told


def test_a_healthy_kernel(healthy: Told) -> None:
    assert healthy.starts()
    assert healthy.amiss() == LACKING


@pytest.mark.parametrize("probe", [*PROBES, *STATES], ids=lambda probe: probe.name)
def test_every_probe_and_its_symbol_are_as_the_page_says(healthy: Told, probe: Any) -> None:
    name = probe.symbols[0]
    facts = healthy.findings[name]["facts"]
    said = SAID[f"`{name}`" + ("" if probe.provable else " *")]
    assert facts["symbol"] == (name if said == "yes" else said.strip("`"))
    assert f" {facts['symbol']}\n" in Path("/proc/kallsyms").read_text()
    assert facts["proven"] is probe.provable


def test_the_features_are_as_the_page_says(healthy: Told) -> None:
    found = healthy.findings
    cookies = found["netns cookies"]["status"] == "ok"
    assert SAID["network namespaces have cookies"] == _yes(cookies)
    per_netns = found["UDP hash table"]["facts"]["per_netns"]
    assert SAID["the UDP hash table is the namespace's"] == _yes(per_netns)
    loads = found["kernel structs"]["facts"]["loads"]
    assert SAID["the probes read the kernel's structs by loads"] == _yes(loads)
    iterated = found["socket iterator"]["status"] == "ok"
    assert SAID["the UDP sockets can be iterated over by a BPF program"] == _yes(iterated)
    assert SAID["BPF's memory is free of RLIMIT_MEMLOCK"] == _yes("memlock" not in found)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def test_not_root() -> None:
    told = doctor(user=65534)
    assert not told.starts()
    assert told.findings["capabilities"]["remedy"].startswith("sudo udptrace, or give it CAP_BPF ")
    untried = {n for n, status in told.amiss().items() if status is None}
    assert untried > {probe.symbols[0] for probe in PROBES} | {"self-test", "ring buffer"}
    assert told.findings["__icmp_send"]["detail"] == "not tried: capabilities are missing"
    assert told.findings["BTF"]["status"] == told.findings["BCC"]["status"] == "ok"


def test_root_of_a_user_namespace() -> None:
    told = doctor("unshare", "--user", "--map-root-user")
    assert not told.starts()
    assert "user namespace's only" in told.findings["capabilities"]["detail"]


def test_another_bcc_module(tmp_path: Path) -> None:
    (tmp_path / "bcc.py").write_text("")
    done = subprocess.run(
        ["python3", "-m", "tracer", "doctor", "-f", "json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:/src"},
        check=False,
    )
    told = Told(done)
    assert not told.starts()
    assert str(tmp_path / "bcc.py") in told.findings["BCC"]["detail"]
    assert "apt install python3-bpfcc" in told.findings["BCC"]["remedy"]
    assert told.findings["self-test"]["detail"] == "not tried: no BCC"


def test_neither_kprobes_nor_btf() -> None:
    """It goes on past the first failure."""
    hide = "mount -t tmpfs none /sys/bus/event_source/devices; mount -t tmpfs none /sys/kernel/btf"
    told = doctor("unshare", "--mount", "sh", "-c", f'{hide}; exec "$@"', "sh")
    assert not told.starts()
    assert told.findings["kprobes"]["status"] == told.findings["BTF"]["status"] == "broken"
    assert "CONFIG_KPROBES" in told.conclusion["reason"]
    assert "CONFIG_DEBUG_INFO_BTF" in told.findings["BTF"]["remedy"]
    assert told.findings["BCC"]["status"] == "ok"


def test_kprobes_switched_off(sysctl: Any) -> None:
    sysctl(KPROBES / "enabled", "0")
    told = doctor()
    assert not told.starts()
    remedy = told.findings["kprobes"]["remedy"]
    subprocess.run(remedy, shell=True, check=True)
    assert (KPROBES / "enabled").read_text().strip() == "1"


def test_ftrace_switched_off(sysctl: Any) -> None:
    switch = proc_sys("kernel/ftrace_enabled")
    try:
        sysctl(switch, "0")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # 7.3 cannot be switched off
            raise
    told = doctor()
    assert _yes(told.starts()) == SAID["probes fire under kernel.ftrace_enabled=0"]
    if told.starts():
        assert told.amiss() == LACKING
        return
    assert told.findings["ftrace"]["status"] == told.findings["self-test"]["status"] == "broken"
    subprocess.run(told.findings["ftrace"]["remedy"], shell=True, check=True)
    assert switch.read_text() == "1\n"


@pytest.fixture
def no_udp_diag(sysctl: Any) -> None:
    """The module is not loaded, and cannot be by the kernel itself."""
    sysctl(proc_sys("kernel/modprobe"), "/nowhere")
    subprocess.run(["rmmod", "udp_diag"], capture_output=True, check=False)


def test_what_is_degraded_and_nothing_else(sysctl: Any, no_udp_diag: None, box: Namespace) -> None:
    """Five things at once, since each start is dear; a trace starts without them."""
    sysctl(proc_sys("kernel/kptr_restrict"), "2")
    drop = "-dac_override,-dac_read_search"
    told = doctor(
        *("unshare", "--pid", "--fork", "--mount-proc"),
        *("setpriv", "--bounding-set", drop, "--inh-caps", drop),
    )
    assert told.starts()
    amiss = ("CAP_DAC_READ_SEARCH", "processes", "kernel symbols", "udp_diag", "containers")
    assert told.amiss() == LACKING | dict.fromkeys(amiss, "degraded")
    # The remedies that are commands for this machine.
    for name in ("kernel symbols", "udp_diag"):
        subprocess.run(told.findings[name]["remedy"], shell=True, check=True)
    cured = doctor(user=65534).findings
    assert cured["udp_diag"]["status"] == "ok"
    assert proc_sys("kernel/kptr_restrict").read_text() == "1\n"


def test_without_those_capabilities_the_processes_of_others_are_hidden() -> None:
    """The loss is real, and one of the two capabilities is enough."""
    with subprocess.Popen(["sleep", "infinity"], user=65534) as other:
        for drop, hidden in (
            ("-dac_override,-dac_read_search", True),
            ("-dac_override", False),
            ("-dac_read_search", False),
        ):
            listing = ["setpriv", "--bounding-set", drop, "ls", f"/proc/{other.pid}/fd"]
            done = subprocess.run(listing, capture_output=True, check=False)
            assert bool(done.returncode) is hidden, drop
        other.kill()


def test_too_little_memory_may_be_locked(healthy: Told) -> None:
    """Where BPF's memory counts as locked; elsewhere the same limit does no harm."""
    limited = ("prlimit", "--memlock=65536:65536")
    drop = ("setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource")
    told = doctor(*limited, *drop)
    assert told.starts() is ("memlock" not in healthy.findings)
    if told.starts():
        assert told.amiss() == LACKING
        return
    assert told.findings["memlock"]["status"] == "broken"
    assert "ulimit -l unlimited" in told.conclusion["reason"]
    assert doctor("prlimit", "--memlock=unlimited", *drop).amiss() == LACKING


def test_a_machine_without_ipv6_lacks_nothing() -> None:
    """Its IPv6 probes are attached and cannot be proven, which is no fault of theirs.

    IPv6 cannot be switched off for one test (ipv6.disable=1 is for the boot), so it is played.
    """
    code = """if True:
        import errno
        from tracer.cli.main import main
        from tracer.kernel import provocation

        miss = provocation._miss

        def without_ipv6(made, family, *rest):
            if family == "ipv6":
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            miss(made, family, *rest)

        provocation._miss = without_ipv6
        main(["doctor", "-f", "json"])
    """
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=False)
    told = Told(done)
    assert told.starts()
    assert told.amiss() == LACKING
    facts = told.findings["__ip6_datagram_connect"]["facts"]
    assert (facts["symbol"], facts["proven"]) == ("__ip6_datagram_connect", False)
    assert told.findings["self-test"]["detail"] == "a connect() and a miss of IPv4 were seen"
