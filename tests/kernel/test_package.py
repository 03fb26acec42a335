"""The Debian package in a machine: it works, and leaves nothing behind when it is removed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.kernel.live import DEADLINE_S, Live
from tests.kernel.net import Namespace
from tracer import __version__
from tracer.kernel.cache import DIRECTORY as COMPILED

ROOT = Path(__file__).resolve().parents[2]
# The machine's own `udptrace`, of the checkout, is in /usr/local.
PATH = "PATH=/usr/sbin:/usr/bin"
# The image was made without documents; a machine of a user's has them.
WITH_DOCUMENTS = ("--path-include=/usr/share/man/*", "--path-include=/usr/share/doc/*")
# Lists of what is installed, a log, and the index of all manual pages.
OTHERS = ("/var/lib/dpkg/", "/var/log/", "/var/cache/man/")


def do(*command: str | Path) -> str:
    """Run a command in a directory that is none of the checkout's; returns what it printed."""
    done = subprocess.run(
        ["env", PATH, *command], capture_output=True, text=True, cwd="/", timeout=DEADLINE_S
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def everything() -> set[Path]:
    """All that a package could have put somewhere."""
    found = (path for top in ("/etc", "/usr", "/var") for path in Path(top).rglob("*"))
    return {path for path in found if not str(path).startswith(OTHERS)}


def test_the_package(box: Namespace, tmp_path: Path) -> None:
    before = everything()
    package = do(ROOT / "scripts/build-deb", "--output", tmp_path).strip()
    do("dpkg", *WITH_DOCUMENTS, "--install", package)
    assert do("sh", "-c", "command -v udptrace").strip() == "/usr/bin/udptrace"
    assert do("udptrace", "--version").startswith(f"udptrace {__version__} ")
    trace = Live(tmp_path / "trace", before=("env", PATH))
    box.udp(bind=("127.0.0.1", 6801), connect=("127.0.0.1", 7801)).send(b"nobody")
    assert trace.incident(dport=7801)["cause"] == "no-socket"
    trace.stop()
    assert "--closed-window DURATION" in do("man", "-P", "cat", "udptrace-live")
    assert any("__pycache__" in path.parts for path in Path("/usr/lib/udptrace").rglob("*"))
    assert COMPILED.exists()
    do("dpkg", "--purge", "udptrace")
    assert everything() - before == set()
    assert not COMPILED.exists()
