"""scripts/install: what it puts below a prefix works there, and goes away with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tracer import __version__
from tracer.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def install(prefix: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        [ROOT / "scripts/install", "--prefix", prefix, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_it_installs_works_and_leaves_nothing(tmp_path: Path) -> None:
    prefix = tmp_path / "new/prefix"
    prefix.parent.mkdir()
    for _ in ("new", "over what is there"):
        done = install(prefix)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"udptrace {__version__} (recording format" in done.stdout
    command = prefix / "bin/udptrace"
    recording = ROOT / "tests/recordings/v1/netcat.udptrace"
    done = subprocess.run(
        [command, "replay", recording], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout == recording.with_suffix(".txt").read_text()
    assert (prefix / "lib/udptrace/tracer/_bpf/udptrace.c").exists()
    pages = {path.name for path in (prefix / "share/man/man1").iterdir()}
    assert pages == {"udptrace.1", *(f"udptrace-{name}.1" for name in COMMANDS)}
    unit = (prefix / "lib/systemd/system/udptrace-recorder.service").read_text()
    assert f"ExecStart={command} record --ring" in unit
    done = install(prefix, "--uninstall")
    assert done.returncode == 0
    assert list(prefix.parent.iterdir()) == []


def test_what_others_have_put_there_stays(tmp_path: Path) -> None:
    for name in ("bin/other", "share/man/man1/other.1"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    before = set(tmp_path.rglob("*"))
    assert install(tmp_path).returncode == 0
    later = tmp_path / "share/zsh/site-functions/_other"
    later.touch()
    assert install(tmp_path, "--uninstall").returncode == 0
    assert set(tmp_path.rglob("*")) == before | {later, later.parent, later.parent.parent}


@pytest.mark.parametrize(
    ("prefix", "arguments", "status", "said"),
    [
        (
            "/proc/udptrace",
            [],
            1,
            "cannot write to /proc/udptrace: run it as root, or choose another",
        ),
        ("/nowhere", ["--uninstall"], 1, "there is no udptrace below /nowhere"),
        ("/nowhere", ["--what"], 2, "usage: scripts/install"),
    ],
)
def test_a_failure_is_one_line(prefix: str, arguments: list[str], status: int, said: str) -> None:
    done = install(prefix, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert status == 2 or done.stderr.count("\n") == 1
