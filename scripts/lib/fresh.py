"""A fresh Debian, the installation in it, and a trace on a real kernel: scripts/fresh's inside.

usage: fresh.py SUITE
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vm import archive, checkout, mirror, rootfs
from vm.errors import VmError
from vm.kernels import DEFAULT_OF_SUITE
from vm.progress import Progress
from vm.recipes import Recipe

TOP = Path(__file__).resolve().parents[2]
CLONE = "root/udptrace"

# In namespaces of its own, so that what is mounted in the tree is gone with it.
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
INSTALL = f"""
set -e
mount -t proc proc "$1/proc"
chroot "$1" /{CLONE}/scripts/install
"""

MISS = """
from socket import *
client = socket(AF_INET, SOCK_DGRAM)
client.connect(("127.0.0.1", 9))
client.send(b"nobody")
"""

# What README tells a new user to do; a datagram that nobody takes is the incident.
USE = f"""
set -e
udptrace --version
udptrace doctor
udptrace --count 1 --settle 1s -w trace.rec --ready-file ready &
until [ -e ready ]; do kill -0 $!; sleep 0.2; done
python3 -c '{MISS}'
wait $!
udptrace report trace.rec | head -n 4
/{CLONE}/scripts/install --uninstall
left=$(find / -xdev -name '*udptrace*' ! -path '/{CLONE}*')
[ -z "$left" ] || {{ echo "left behind: $left"; exit 1; }}
"""
ENTER = """
set -e
for directory in proc sys dev run; do mount --rbind "/$directory" "/share/tree/$directory"; done
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root \
    chroot /share/tree sh -c "cd; $1"
"""


def make_tree(suite: str, scratch: Path) -> Path:
    """The smallest Debian that has apt, which finds its mirror as this machine does."""
    progress = Progress(f"fresh {suite}")
    site = mirror.find()
    keyring = archive.keyring(scratch, site, suite)
    tree = scratch / "tree"
    bare = Recipe(suite, (), (), (), (), (), 0, 1)
    rootfs.bootstrap(bare, site, keyring, tree, progress)
    progress.done("made")
    inside = tree / "usr/share/keyrings/debian-archive-keyring.gpg"
    shutil.copy(keyring, inside)
    suites = (suite, f"{suite}-updates", f"{suite}-security")
    (tree / "etc/apt/sources.list").write_text(site.sources(suites, f"/{inside.relative_to(tree)}"))
    options = "".join(f"{line}\n" for line in mirror.apt_options())
    (tree / "etc/apt/apt.conf.d/99machine").write_text(options)
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    return tree


def clone(tree: Path) -> None:
    """What `git clone` would give."""
    for name in checkout.files(TOP):
        target = tree / CLONE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, target, follow_symlinks=False)


def main(arguments: list[str]) -> int:
    """Exit status 0 when all of it worked."""
    if len(arguments) != 1 or arguments[0] not in DEFAULT_OF_SUITE:
        print(f"fresh: a suite is one of {', '.join(DEFAULT_OF_SUITE)}", file=sys.stderr)
        return 2
    (suite,) = arguments
    with tempfile.TemporaryDirectory(prefix="udptrace-fresh-", dir="/var/tmp") as name:
        scratch = Path(name)
        try:
            tree = make_tree(suite, scratch)
        except VmError as error:
            print(f"fresh: {error}", file=sys.stderr)
            return 1
        clone(tree)
        done = subprocess.run([*APART, "sh", "-c", INSTALL, "sh", str(tree)], check=False)
        if done.returncode:
            print(f"fresh: scripts/install failed on {suite}", file=sys.stderr)
            return 1
        vm = [str(TOP / "scripts/vm"), "--suite", suite, "--share", name, "--"]
        done = subprocess.run([*vm, "sh", "-c", ENTER, "sh", USE], check=False)
        print(f"fresh: {suite}: {'failed' if done.returncode else 'all of it works'}", flush=True)
        return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
