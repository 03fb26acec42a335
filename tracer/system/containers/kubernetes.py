"""Which pod a container belongs to, by the labels and annotations that Kubernetes gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracer.system.containers.files import field, word


@dataclass(frozen=True)
class PodPart:
    """A container as part of a pod, whose ``name`` is "namespace/pod"."""

    name: str
    container: str | None
    sandbox: bool
    image: str | None


# Who writes them: namespace, pod, container, kind, image; the kind that is a sandbox's.
_KEYS = (
    # containerd's CRI, as annotations (pkg/cri/annotations)
    (
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.sandbox-name",
        "io.kubernetes.cri.container-name",
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.image-name",
        "sandbox",
    ),
    # CRI-O, as annotations (internal/annotations); the kubelet's labels are among them
    (
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name",
        "io.kubernetes.container.name",
        "io.kubernetes.cri-o.ContainerType",
        "io.kubernetes.cri-o.ImageName",
        "sandbox",
    ),
    # cri-dockerd, as labels
    (
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name",
        "io.kubernetes.container.name",
        "io.kubernetes.docker.type",
        "",
        "podsandbox",
    ),
)


def pod_of(keys: Any) -> PodPart | None:
    """The pod that labels or annotations (a JSON object) tell of; None where they tell of none."""
    for namespace, pod, container, kind, image, sandbox in _KEYS:
        said = [word(field(keys, key)) for key in (namespace, pod, kind)]
        if None not in said:
            is_sandbox = said[2] == sandbox
            name = None if is_sandbox else word(field(keys, container))
            return PodPart(f"{said[0]}/{said[1]}", name, is_sandbox, word(field(keys, image)))
    return None
