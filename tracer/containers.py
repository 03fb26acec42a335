"""Containers as their engines name them, and which of them the words of -c mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHORT = 12
"""Digits of an id that docker and podman show."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container. What its engine does not tell, or was not asked, is None."""

    engine: str
    """"docker", "podman", "containerd" or "cri-o"; empty: a cgroup's name shows the id, and no
    engine's state knows it."""
    id: str
    name: str | None
    image: str | None
    pod: str | None = None
    """Kubernetes' "namespace/name"."""
    sandbox: bool = False
    """A pod's sandbox, which runs nothing and holds its network namespace."""
    uid: int | None = None
    """Whose a rootless one is."""
    scope: str | None = None
    """containerd's namespace, which has ids of its own."""

    @property
    def label(self) -> str:
        """The name, or the short id where there is none."""
        return self.name or self.id[:SHORT]

    @property
    def who(self) -> str:
        """Engine, short id and, of a rootless one, whose: what tells it from its namesakes."""
        engine = self.engine or "engine not known"
        user = f" of user {self.uid}" if self.uid is not None else ""
        return f"{engine}{user} {self.id[:SHORT]}"


def of_pod(containers: Iterable[Container]) -> str | None:
    """The pod that all of these containers belong to; None where there is none."""
    pods = {container.pod for container in containers}
    return pods.pop() if len(pods) == 1 else None


def workload(containers: Iterable[Container]) -> tuple[Container, ...]:
    """The containers that run something: a pod's sandbox is left out."""
    return tuple(container for container in containers if not container.sandbox)


Group = tuple[object, ...]
"""What stays the same when a container is made anew under its name."""


def meant_by(spec: str, known: Iterable[Container]) -> dict[Group, list[Container]]:
    """The containers that NAME, ID, a beginning of an id, or NAMESPACE/POD[/CONTAINER] means.

    As docker has it: a whole id comes before a name, and a name before the beginning of another's
    id. Containers of one group are one after the other, or of one pod; several groups: ambiguous.
    """
    containers = list(known)
    for rule in (_by_id, _by_name, _by_pod, _by_prefix):
        found: dict[Group, list[Container]] = {}
        for container in containers:
            group = rule(spec, container)
            if group is not None:
                found.setdefault((container.engine, container.uid, *group), []).append(container)
        if found:
            return found
    return {}


def _by_id(spec: str, container: Container) -> Group | None:
    return (container.scope, container.id) if spec == container.id else None


def _by_name(spec: str, container: Container) -> Group | None:
    scoped = f"{container.scope}/{container.id}" if container.scope else None
    in_pod = f"{container.pod}/{container.name}" if container.pod else None
    if spec in (container.name, scoped, in_pod):
        return (container.scope, container.pod, container.name or container.id)
    return None


def _by_pod(spec: str, container: Container) -> Group | None:
    return (container.pod,) if spec == container.pod else None


def _by_prefix(spec: str, container: Container) -> Group | None:
    # An engine's own ids are hexadecimal; one that a person chose is a name.
    hexadecimal = len(container.id) == 64
    return (container.id,) if hexadecimal and container.id.startswith(spec) else None
