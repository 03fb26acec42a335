"""Records what container engines leave on a machine, for tests/layouts; runs inside the VM.

usage: scripts/vm [--suite SUITE] --share DIRECTORY -- python3 scripts/lib/record_layouts.py /share

Starts each engine of the user space with containers in known states, and writes for each engine
DIRECTORY/ENGINE-VERSION: the files which tell its containers, below their own absolute paths; a
listing of the directories they are in, with owners and permissions; the processes below proc/;
and truth.json, what the engine itself says of each container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kernel.engines import podman
from tests.kernel.engines.commands import call
from tests.kernel.engines.container import Container
from tests.kernel.engines.containerd import FULL_IMAGE, Ctr, containerd
from tests.kernel.engines.docker import docker, dockerd
from tests.kernel.engines.docker_like import DockerLike
from tests.kernel.engines.image import IMAGE, archive
from tests.kernel.engines.pods import NAMESPACE, Pod
from tests.kernel.live import wait_for

# What is kept of an OCI bundle's config.json and of runc's state.json: the rest is about how the
# process is confined, and ten times as long.
OCI_KEYS = ("ociVersion", "hostname", "annotations")
STATE_KEYS = ("id", "init_process_pid", "init_process_start", "created", "cgroup_paths",
              "namespace_paths")  # fmt: skip
INSPECT_KEYS = ("Id", "Name", "Image", "ImageName", "Pod", "IsInfra", "State", "ID", "Labels")

RUNTIME = "/run/containerd/io.containerd.runtime.v2.task"


def shims(namespace: str, runc: str = "/run/containerd/runc") -> tuple[str, ...]:
    """Where containerd keeps the state of what runs in one of its namespaces."""
    bundle = f"{RUNTIME}/{namespace}/*"
    return f"{bundle}/config.json", f"{bundle}/init.pid", f"{runc}/{namespace}/*/state.json"


DOCKER = (
    "/var/lib/docker/containers/*/config.v2.json", "/var/lib/docker/containers/*/hostconfig.json",
    "/run/docker/netns/*", *shims("moby", runc="/run/docker/runtime-runc"),
)  # fmt: skip


def podmans(storage: str, run: str) -> tuple[str, ...]:
    """Where podman keeps its state: of root, or of a user."""
    return (
        f"{storage}/*-containers/*.json", f"{storage}/*-containers/*/userdata/config.json",
        f"{storage}/db.sql", f"{storage}/libpod/*.db",
        f"{run}/containers/*-containers/*.json",
        f"{run}/containers/*-containers/*/userdata/*pid*", f"{run}/crun/*/status", f"{run}/netns/*",
    )  # fmt: skip


def oci_config(value: dict[str, Any]) -> dict[str, Any]:
    """What tells who a container is, of its OCI configuration."""
    kept = {key: value[key] for key in OCI_KEYS if key in value}
    linux = value["linux"]
    return {
        **kept,
        "process": {"args": value["process"]["args"]},
        "linux": {key: linux[key] for key in ("cgroupsPath", "namespaces") if key in linux},
    }


def runc_state(value: dict[str, Any]) -> dict[str, Any]:
    """What tells who a container is, of runc's state."""
    kept = {key: value[key] for key in STATE_KEYS}
    config = {key: value["config"][key] for key in ("labels", "cgroups")}
    config["cgroups"] = {key: config["cgroups"].get(key) for key in ("path", "name", "parent")}
    return {**kept, "config": config}


# What podman makes of a loaded image's name.
LOCAL_IMAGE = f"localhost/{IMAGE}"

SECOND = "sleep 1000"  # the process that is started in a container beside its first

TRIMMED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "config.json": oci_config,
    "state.json": runc_state,
}


class Layout:
    """One engine's directory of the recording."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)

    def files(self, patterns: tuple[str, ...]) -> None:
        """Keep the files that match, and list all they are beside."""
        found = sorted({path for pattern in patterns for path in Path("/").glob(pattern[1:])})
        for path in found:
            if stat.S_ISREG(path.lstat().st_mode):
                self._keep(path)
        directories = {parent for path in found for parent in path.parents}
        lines = [_listed(path) for path in sorted(directories | set(found))]
        (self.directory / "listing.txt").write_text("".join(lines))

    def _keep(self, path: Path) -> None:
        try:
            text = path.read_text()
        except (UnicodeDecodeError, OSError):
            return  # a database, which the listing shows, or a namespace
        if path.name in TRIMMED:
            text = json.dumps(TRIMMED[path.name](json.loads(text)), indent=1) + "\n"
        self._write(path, text)

    def processes(self) -> None:
        """Keep what identifies each process, but the kernel's and this one's."""
        for directory in sorted(Path("/proc").glob("[0-9]*")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pid = int(directory.name)
                if pid not in (1, os.getpid()) and (directory / "cmdline").read_bytes():
                    self._process(directory)

    def _process(self, directory: Path) -> None:
        for name in ("cgroup", "cmdline", "stat"):
            self._write(directory / name, (directory / name).read_text())

    def inspected(self, answer: str) -> None:
        """Keep what the engine's own command prints of its containers, trimmed."""
        found = [
            {k: v for k, v in each.items() if k in INSPECT_KEYS} for each in json.loads(answer)
        ]
        (self.directory / "inspect.json").write_text(json.dumps(found, indent=1) + "\n")

    def truth(self, containers: list[dict[str, Any]]) -> None:
        """What the engine says of its containers."""
        (self.directory / "truth.json").write_text(json.dumps(containers, indent=1) + "\n")

    def _write(self, path: Path, text: str) -> None:
        kept = self.directory / str(path).lstrip("/")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text)


def _listed(path: Path) -> str:
    """A line such as ls would print, without what differs from one run to the next."""
    seen = path.lstat()
    target = f" -> {os.readlink(path)}" if path.is_symlink() else ""
    return f"{stat.filemode(seen.st_mode)} {seen.st_uid}:{seen.st_gid} {path}{target}\n"


def told(container: Container, image: str, **more: str) -> dict[str, Any]:
    """What the engine says of a container; ``netns`` is None while it is stopped."""
    return {
        "name": container.name,
        "id": container.id,
        "image": image,
        "pid": container.pid,
        "netns": container.netns if container.pid else None,
        **more,
    }


def record_docker_like(
    engine: DockerLike, layout: Layout, patterns: tuple[str, ...], image: str
) -> None:
    """Four containers: one that runs, with a second process, and others of other kinds."""
    web = engine.run("web")
    shares = engine.run("sidecar", options=("--network=container:web",))
    host = engine.run("hostnet", options=("--network=host",))
    stopped = engine.run("stopped")
    stopped.stop()
    process = web.start_process(*SECOND.split())
    try:
        wait_for(lambda: SECOND in call("ps", "-e", "-o", "args").splitlines(), SECOND)
        layout.files(patterns)
        layout.processes()
        everyone = (web, shares, host, stopped)
        layout.inspected(engine.call("container", "inspect", *(each.name for each in everyone)))
        layout.truth([told(each, image) for each in everyone])
    finally:
        process.kill()
        process.wait()


def major_minor(text: str) -> str:
    """``26.1`` for ``26.1.5+dfsg1``."""
    return ".".join(text.split(".")[:2])


def record_docker(out: Path, image: Path) -> None:
    """Docker on the system's containerd."""
    with dockerd(image.parent), docker() as engine:
        version = engine.call("version", "-f", "{{.Server.Version}}")
        engine.load(image)
        record_docker_like(engine, Layout(out / f"docker-{major_minor(version)}"), DOCKER, IMAGE)


def record_containerd(out: Path, image: Path, version: str) -> None:
    """containerd's containers by ctr."""
    with Ctr() as ctr:
        ctr.load(image)
        web = ctr.run("web")
        host = ctr.run("hostnet", options=("--net-host",))
        stopped = ctr.run("stopped")
        stopped.stop()
        layout = Layout(out / f"containerd-{version}")
        layout.files(shims("default"))
        layout.processes()
        layout.truth([told(each, FULL_IMAGE) for each in (web, host, stopped)])


def record_pod(out: Path, image: Path, version: str) -> None:
    """A pod of two containers."""
    with Ctr(NAMESPACE) as ctr, Pod(ctr, "prod", "web-0") as pod:
        ctr.load(image)
        sandbox = pod.start()
        one, two = pod.run("nginx"), pod.run("sidecar")
        layout = Layout(out / f"cri-containerd-{version}")
        layout.files((*shims(NAMESPACE), "/run/netns/*"))
        layout.processes()
        layout.truth(
            [
                told(sandbox, FULL_IMAGE, pod="prod/web-0", role="sandbox"),
                told(one, FULL_IMAGE, pod="prod/web-0", role="nginx"),
                told(two, FULL_IMAGE, pod="prod/web-0", role="sidecar"),
            ]
        )


def record_podman(out: Path, image: Path) -> None:
    """Podman of root, and of a user."""
    version = major_minor(call("podman", "version", "-f", "{{.Client.Version}}"))
    with podman.podman() as engine:
        engine.load(image)
        patterns = podmans("/var/lib/containers/storage", "/run")
        patterns += tuple(
            p.replace("/run/containers/", "/run/containers/storage/") for p in patterns
        )
        record_docker_like(engine, Layout(out / f"podman-{version}"), patterns, LOCAL_IMAGE)
    with podman.user() as uid, podman.rootless(uid) as engine:
        engine.load(image)
        home = f"/home/{podman.USER}/.local/share/containers/storage"
        patterns = (*podmans(home, f"/run/user/{uid}"), "/etc/passwd")
        record_docker_like(
            engine, Layout(out / f"podman-rootless-{version}"), patterns, LOCAL_IMAGE
        )


@contextlib.contextmanager
def prepared() -> Iterator[Path]:
    """The image's archive."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # a user loads it as well
        yield archive(Path(name) / "image.tar")


def main(arguments: list[str]) -> int:
    """Record all that this user space has."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(arguments[0])
    with prepared() as image:
        record_podman(out, image)
        with containerd(image.parent):
            version = major_minor(call("containerd", "--version").split()[2])
            record_containerd(out, image, version)
            record_pod(out, image, version)
            record_docker(out, image)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
