"""packaging/: held against its own tools, the command it runs, and the capabilities it needs."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from tracer.cli.main import udptrace
from tracer.kernel.capabilities import CAPABILITIES

TOP = Path(__file__).resolve().parents[2]
UNIT = TOP / "packaging/systemd/udptrace-recorder.service"
CONTAINERFILE = (TOP / "packaging/container/Containerfile").read_text()
MANIFEST = TOP / "packaging/kubernetes/daemonset.yaml"

# All that is used but the one that may do nearly everything.
WANTED = {c.name for c in CAPABILITIES if c.use or c.lost} - {"CAP_SYS_ADMIN"}


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return unit["Service"]


def container() -> Any:
    """The pods' container."""
    (_, daemonset) = yaml.safe_load_all(MANIFEST.read_text())
    (one,) = daemonset["spec"]["template"]["spec"]["containers"]
    return one


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """As installed: verify looks for the program, too; its manual page is not on this machine."""
    (tmp_path / "udptrace").symlink_to(shutil.which("true") or "/nowhere")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/local/bin", str(tmp_path)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("setting", ["AmbientCapabilities", "CapabilityBoundingSet"])
def test_the_unit_has_the_capabilities_that_are_needed(setting: str) -> None:
    assert set(service()[setting].split()) == WANTED


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_kubernetes_accepts_the_manifest(version: str) -> None:
    for resource in yaml.safe_load_all(MANIFEST.read_text()):
        kubernetes_validate.validate(resource, ".".join(version.split(".")[:2]), strict=True)


def test_the_pods_have_the_capabilities_that_are_needed() -> None:
    capabilities = container()["securityContext"]["capabilities"]
    assert {f"CAP_{name}" for name in capabilities["add"]} == WANTED
    assert capabilities["drop"] == ["ALL"]


def test_what_they_run_are_commands_of_udptrace() -> None:
    """Each option is there, and takes what it is given."""
    words = shlex.split(service()["ExecStart"])[1:]
    for command, *arguments in (words, container()["args"]):
        group: Any = udptrace
        found = group.get_command(click.Context(group), command)
        context = found.make_context(command, list(arguments))
        assert context.params["metrics"][1] == 9435


def test_the_image_has_what_udptrace_needs() -> None:
    need = (TOP / "scripts/lib/packages.sh").read_text().partition("need_udptrace()")[2]
    packages = set(re.findall(r"\w+:(python3-\w+)", need.partition("\n}")[0]))
    installed = set(re.findall(r"python3-[\w-]+", CONTAINERFILE))
    assert len(packages) > 3
    assert installed == packages | {"python3-prometheus-client"}


def test_what_the_image_gets_is_enough_to_install_it(tmp_path: Path) -> None:
    for source, target in re.findall(r"^COPY (\S+) /(\S+)$", CONTAINERFILE, re.MULTILINE):
        copy = shutil.copytree if (TOP / source).is_dir() else shutil.copy
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        copy(TOP / source, tmp_path / target)
    (run,) = re.findall(r"^RUN /(\S+) ", CONTAINERFILE, re.MULTILINE)
    prefix = tmp_path / "usr"
    done = subprocess.run(
        [tmp_path / run, "--prefix", prefix], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "udptrace 0." in done.stdout
