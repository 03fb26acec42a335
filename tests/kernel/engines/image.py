"""The image that every engine loads: busybox and netcat, as `docker save` writes one."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

IMAGE = "alpine:test"
BUSYBOX = Path("/usr/bin/busybox")
# Debian's busybox has a netcat without UDP.
NETCAT = Path("/usr/bin/nc.openbsd")
# In the image; with its path, for busybox's shell prefers its own to what lies in PATH.
NC = "/bin/nc"


def archive(path: Path) -> Path:
    """Write the image's archive, which docker, podman and ctr all load, and return its path."""
    layer = _layer()
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{digest}/layer.tar"
    manifest = [{"Config": name, "RepoTags": [IMAGE], "Layers": [layer_name]}]
    with tarfile.open(path, "w") as tar:
        for member, content in (
            (name, config),
            (layer_name, layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            _add(tar, member, content)
    return path


def _layer() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
        for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
            if applet not in ("busybox", "nc"):
                _link(tar, f"bin/{applet}")
        _add(tar, NC.lstrip("/"), NETCAT.read_bytes(), mode=0o755)
        for library in _libraries(NETCAT):
            _add(tar, library.lstrip("/"), Path(library).read_bytes(), mode=0o755)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
    return buffer.getvalue()


def _libraries(program: Path) -> list[str]:
    """The files that a program is loaded with."""
    printed = subprocess.check_output(["ldd", program], text=True)
    return re.findall(r"(/\S+) \(0x", printed)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _link(tar: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "busybox"
    tar.addfile(member)
