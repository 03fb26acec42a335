"""What the engines' own commands say of a container that no state file was found of.

Each is asked once, with a time limit, its arguments never read by a shell: an engine whose daemon
is stuck has no answer.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tracer.containers import Container
from tracer.system.containers.docker import of_inspect
from tracer.system.containers.files import field, number, word
from tracer.system.containers.found import Found
from tracer.system.containers.kubernetes import pod_of

TIMEOUT_S = 5.0
"""How long a command may take: docker's answers within half a second on a busy machine."""

NOT_INSTALLED = "not installed"
NO_ANSWER = f"no answer within {TIMEOUT_S:.0f} s"

_LONGEST = 4 << 20
"""Bytes of an answer that are read."""


@dataclass(frozen=True)
class Command:
    """How an engine is asked about the container of a name or an id."""

    engine: str
    words: tuple[str, ...]
    read: Callable[[Any, float], Found | None]

    @property
    def program_name(self) -> str:
        """The command's name."""
        return self.words[0]

    @property
    def program(self) -> str | None:
        """Where the command is; None where it is not installed."""
        return shutil.which(self.words[0])

    def ask(self, spec: str) -> tuple[Found | None, str]:
        """The container, and in words why there is none, or no answer."""
        if self.program is None:
            return None, NOT_INSTALLED
        if spec.startswith("-"):
            return None, "not asked"
        import subprocess  # only now: few starts ask, and each would wait for it

        try:
            done = subprocess.run(
                [self.program, *self.words[1:], spec],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )
        except subprocess.TimeoutExpired:
            return None, NO_ANSWER
        except OSError as error:
            return None, os.strerror(error.errno or 0)
        found = self.read(_first(done.stdout[:_LONGEST]), time.time())
        return found, "" if found else "does not know it"


def _first(answer: bytes) -> Any:
    """The object of an answer, or the first one of its list."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return value[0] if isinstance(value, list) and value else value


def _podman(value: Any, now: float) -> Found | None:
    identity = word(field(value, "Id"))
    if identity is None:
        return None
    container = Container(
        "podman", identity, word(field(value, "Name")), word(field(value, "ImageName"))
    )
    pid = number(field(value, "State", "Pid"))
    return Found(container, pid, word(field(value, "State", "Status")) or "not known", now)


def _crictl(value: Any, now: float) -> Found | None:
    identity = word(field(value, "status", "id"))
    if identity is None:
        return None
    labels = field(value, "status", "labels")
    # The kubelet's labels, which cri-dockerd's containers have as well, beside a kind.
    kind = {"io.kubernetes.docker.type": "container"}
    pod = pod_of({**kind, **labels}) if isinstance(labels, dict) else None
    container = Container(
        "cri-o" if "crio" in str(field(value, "info", "runtimeType")) else "containerd",
        identity,
        word(field(value, "status", "metadata", "name")),
        word(field(value, "status", "image", "image")),
        pod.name if pod else None,
    )
    state = (word(field(value, "status", "state")) or "").removeprefix("CONTAINER_").lower()
    return Found(container, number(field(value, "info", "pid")), state or "not known", now)


COMMANDS = (
    Command("docker", ("docker", "container", "inspect"), of_inspect),
    Command("podman", ("podman", "container", "inspect"), _podman),
    Command("Kubernetes", ("crictl", "inspect", "--output", "json"), _crictl),
)
"""Those asked about a word of -c; containerd's in each of its namespaces, beside them."""


def ctr(scope: str) -> Command:
    """How containerd is asked about one of its namespaces."""

    def read(value: Any, now: float) -> Found | None:
        identity, image = word(field(value, "ID")), word(field(value, "Image"))
        if identity is None:
            return None
        # One that had a task would have been found by that.
        container = Container("containerd", identity, identity, image, scope=scope)
        return Found(container, 0, "no task", now)

    return Command("containerd", ("ctr", "--namespace", scope, "containers", "info"), read)


def is_incomplete(container: Container) -> bool:
    """Whether its engine's command may know more of it than its state has told."""
    mine = container.uid is None and not container.sandbox
    return mine and (container.name is None or container.image is None)


def completed(container: Container) -> Container:
    """The container with what its engine's command adds to its state; may take `TIMEOUT_S`.

    Not for another user's, whose engine a command of root's would not ask.
    """
    found = _asked(container)
    if found is None or found.id != container.id:
        return container
    return replace(
        container,
        engine=container.engine or found.engine,
        name=container.name or found.name,
        image=container.image or found.image,
        pod=container.pod or found.pod,
    )


def _asked(container: Container) -> Container | None:
    if container.scope is not None:
        command = ctr(container.scope)
    else:
        named = [c for c in COMMANDS if c.engine == container.engine]
        command = named[0] if named else COMMANDS[-1]
    found, _why = command.ask(container.id)
    return found.container if found is not None else None
