"""A Kubernetes pod as containerd's CRI plugin leaves one, made with ctr, for want of a client.

Debian packages nothing that speaks CRI. Real here: containerd, its shim and runc, their state
below /run/containerd, the processes, the shared network namespace and its file. Made after
containerd 1.7's CRI plugin and a kubelet with the cgroupfs driver: the containerd namespace
``k8s.io``, the ids, the annotations and the cgroups below /kubepods. By the annotations the shim
puts a pod's containers together, as it does for CRI: one shim serves them all.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from tests.kernel.engines.commands import call
from tests.kernel.engines.container import IDLE, Container
from tests.kernel.engines.containerd import FULL_IMAGE, Ctr

NAMESPACE = "k8s.io"
ANNOTATION = "io.kubernetes.cri."


def identifier(*words: str) -> str:
    """An id such as CRI's, 64 hex digits, the same in every run."""
    return hashlib.sha256("/".join(words).encode()).hexdigest()


@dataclass
class Pod:
    """A pod's network namespace and name; `start` and `run` fill it, `ctr` takes them away."""

    ctr: Ctr
    namespace: str
    name: str

    def __post_init__(self) -> None:
        self.uid = str(uuid.UUID(identifier(self.namespace, self.name)[:32]))
        self.netns_name = f"cni-{uuid.UUID(identifier(self.uid)[:32])}"
        self.sandbox_id = identifier(self.uid, "sandbox")

    def __enter__(self) -> Pod:
        call("ip", "netns", "add", self.netns_name)
        call("ip", "-n", self.netns_name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_exception: object) -> None:
        call("ip", "netns", "delete", self.netns_name)

    def start(self) -> Container:
        """Start the sandbox, which holds the pod's namespaces and does nothing."""
        logs = f"/var/log/pods/{self.namespace}_{self.name}_{self.uid}"
        more = {"container-type": "sandbox", "sandbox-log-directory": logs}
        return self._run(self.sandbox_id, more, IDLE)

    def run(self, name: str, *command: str) -> Container:
        """Start a container of the pod; without a command it idles."""
        more = {"container-type": "container", "container-name": name, "image-name": FULL_IMAGE}
        return self._run(identifier(self.uid, name), more, command or IDLE)

    def _run(self, own_id: str, more: dict[str, str], command: tuple[str, ...]) -> Container:
        annotations = {
            "sandbox-id": self.sandbox_id,
            "sandbox-name": self.name,
            "sandbox-namespace": self.namespace,
            "sandbox-uid": self.uid,
            **more,
        }
        options = [f"--with-ns=network:/run/netns/{self.netns_name}"]
        options.append(f"--cgroup=/kubepods/besteffort/pod{self.uid}/{own_id}")
        options += [f"--annotation={ANNOTATION}{key}={value}" for key, value in annotations.items()]
        return self.ctr.run(own_id, *command, options=tuple(options))
