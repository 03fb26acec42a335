"""The Debian package: what is in it, what it needs, and what lintian says; installed in the VM."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tracer import __version__
from tracer.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
# A recorder for whoever has systemd; the trace itself needs no init system.
EXPECTED = ("--suppress-tags", "package-supports-alternative-init-but-no-init.d-script")
MAINTAINER = {"DEBFULLNAME": "Jo Doe", "DEBEMAIL": "jo@udptrace.dev"}


def shown(*command: str | Path) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def build(output: Path, umask: int) -> Path:
    """A package; under a umask, which must not matter."""
    done = subprocess.run(
        [ROOT / "scripts/build-deb", "--output", output],
        capture_output=True,
        text=True,
        check=True,
        umask=umask,
        env={**os.environ, **MAINTAINER},
    )
    package = Path(done.stdout.strip())
    assert package == output / f"udptrace_{__version__}_amd64.deb"
    return package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"), 0o022)


def test_lintian_has_nothing_to_say(package: Path) -> None:
    done = subprocess.run(
        ["lintian", "--display-info", "--pedantic", "--allow-root", *EXPECTED, package],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done


def test_it_has_everything(package: Path) -> None:
    files = {line.split()[-1] for line in shown("dpkg-deb", "-c", package).splitlines()}
    wanted = {"bin/udptrace", "lib/udptrace/tracer/_bpf/udptrace.c", "share/man/man1/udptrace.1.gz"}
    wanted |= {f"share/man/man1/udptrace-{name}.1.gz" for name in COMMANDS}
    wanted |= {f"share/doc/udptrace/docs/{page.name}" for page in (ROOT / "docs").iterdir()}
    wanted |= {
        "lib/systemd/system/udptrace-recorder.service",
        "share/bash-completion/completions/udptrace",
        "share/zsh/vendor-completions/_udptrace",
    }
    wanted |= {"share/fish/vendor_completions.d/udptrace.fish", "share/doc/udptrace/copyright"}
    assert {f"./usr/{path}" for path in wanted} <= files
    assert not [path for path in files if "__pycache__" in path]
    owners = {line.split()[1] for line in shown("dpkg-deb", "-c", package).splitlines()}
    assert owners == {"root/root"}


def test_it_needs_what_the_wheel_needs_and_bcc(package: Path) -> None:
    needed = shown("dpkg-deb", "-f", package, "Depends")
    project = (ROOT / "pyproject.toml").read_text()
    (declared,) = (line for line in project.splitlines() if line.startswith("dependencies = "))
    for one in declared.partition("[")[2].rstrip("]").split(", "):
        name, _, version = one.strip('"').partition(">=")
        assert f"python3-{name} (>= {version})" in needed
    assert "python3-bpfcc" in needed
    assert 'requires-python = ">=3.10"' in project
    assert needed.startswith("python3 (>= 3.10), ")


def test_the_same_checkout_gives_the_same_package(package: Path, tmp_path: Path) -> None:
    assert build(tmp_path, 0o077).read_bytes() == package.read_bytes()
