"""The wheel is complete, and the core needs neither root, BCC nor what an extra would bring."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tracer"

FORBID_BCC = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "bcc":
            raise AssertionError(f"{name} was imported")

sys.meta_path.insert(0, Forbid())
"""


def _run(code: str, *, python: str = sys.executable, cwd: Path = ROOT) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-W", "error", "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _modules() -> list[str]:
    """Every module of the package but those of the kernel session."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return sorted(n for n in names if not n.startswith("tracer.kernel") and "_bpf" not in n)


def test_the_core_imports_without_bcc() -> None:
    _run(FORBID_BCC + "\n".join(f"import {name}" for name in _modules()))


def test_one_module_at_most_imports_bcc() -> None:
    importers = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.partition(".")[0] == "bcc" for name in names):
                importers.append(path.relative_to(PACKAGE))
    assert len(set(importers)) <= 1


def test_replay_imports_nothing_that_is_not_everywhere() -> None:
    """A recording is read on a machine that is no Linux at all."""
    commands = ", ".join(f"tracer.cli.{name}" for name in ("replay", "report", "export", "diff"))
    code = f"import sys, {commands}\nprint(*sorted(sys.modules), sep='\\n')"
    loaded = _run(code).split()
    own = {name for name in loaded if name.startswith("tracer.")}
    assert not own & {"tracer.trace", "tracer.recording.writer", "tracer.system.netns"}
    assert "fcntl" not in loaded
    assert "jinja2" not in loaded


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "LICENSE", "README.md", "tracer", "bpf"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source / name)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", out, source],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("udptrace-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a clean environment with the wheel in it."""
    environment = tmp_path_factory.mktemp("venv")
    venv.create(environment, with_pip=True)
    subprocess.run(
        [environment / "bin" / "pip", "install", "--quiet", wheel], check=True, capture_output=True
    )
    return environment / "bin"


def test_the_wheel_has_the_bpf_sources(installed: Path) -> None:
    code = "from tracer.resources import bpf_dir; print(bpf_dir())"
    found = Path(_run(code, python=str(installed / "python"), cwd=installed).strip())
    assert installed.parent in found.parents
    wanted = {p.relative_to(ROOT / "bpf"): p for p in (ROOT / "bpf").rglob("*") if p.is_file()}
    assert Path("udptrace.c") in wanted
    assert {name: (found / name).read_bytes() for name in wanted} == {
        name: path.read_bytes() for name, path in wanted.items()
    }


def test_the_command_is_installed(installed: Path) -> None:
    done = subprocess.run(
        [installed / "udptrace", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("udptrace 0.")


def _bcc(command: Path) -> tuple[str, str]:
    """What the doctor says of BCC: its status, and the remedy or the detail."""
    done = subprocess.run(
        [command, "doctor", "-f", "json"], capture_output=True, text=True, check=False
    )
    findings = (json.loads(line) for line in done.stdout.splitlines())
    (found,) = (one for one in findings if one.get("name") == "BCC")
    return found["status"], found["remedy"] or found["detail"]


def test_the_wheel_says_so_without_bcc(installed: Path) -> None:
    status, remedy = _bcc(installed / "udptrace")
    assert status == "broken"
    assert "apt install python3-bpfcc" in remedy
    assert "--system-site-packages" in remedy


def test_the_wheel_works_with_the_distributions_bcc(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    environment = ("/usr/bin/python3", "-m", "venv", "--system-site-packages", str(tmp_path))
    package = (str(python), "-m", "pip", "install", "--quiet", str(wheel))
    for command in (environment, package):
        subprocess.run(command, check=True, capture_output=True)
    status, detail = _bcc(tmp_path / "bin/udptrace")
    assert (status, "/usr/lib/python3/dist-packages/bcc" in detail) == ("ok", True), detail


def test_the_wheel_can_write_its_manual_pages(installed: Path, tmp_path: Path) -> None:
    command = (str(installed / "python"), "-m", "tracer.manual", str(tmp_path))
    subprocess.run(command, check=True, cwd=tmp_path)
    assert (tmp_path / "udptrace-live.1").read_text().startswith(".TH UDPTRACE-LIVE 1 ")


def test_the_wheel_has_the_page_of_a_report(installed: Path) -> None:
    recording = ROOT / "tests/recordings/v1/netcat.udptrace"
    done = subprocess.run(
        [installed / "udptrace", "report", "-f", "html", recording],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("<!DOCTYPE html>")


def test_a_checkout_has_its_own_bpf_sources() -> None:
    code = "from tracer.resources import bpf_dir; print(bpf_dir())"
    assert _run(code).strip() == str(ROOT / "bpf")
