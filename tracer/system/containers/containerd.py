"""containerd's running containers (ctr, nerdctl, Kubernetes' CRI), from the state of their tasks.

containerd keeps its containers in a database of its own; what their shims run is in files, which
are there for as long as the task is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tracer.containers import Container
from tracer.system.containers.files import Files, changed_at, field, listed, number, read, word
from tracer.system.containers.found import Found
from tracer.system.containers.kubernetes import pod_of

# What containerd takes for an id or a namespace (pkg/identifiers).
_NAME = re.compile("[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")

_USUAL = ("default", "k8s.io")
"""Namespaces of ctr and nerdctl, and of Kubernetes."""

_MOST = 8
"""Namespaces that containerd's command is asked about."""

# Docker's own containers are in this namespace, where they have no names.
_DOCKERS = "moby"


class Containerd:
    """The tasks of every namespace of containerd."""

    name = "containerd"

    def __init__(self, files: Files, root: str = "") -> None:
        self._files = files
        self._root = f"{root}/run/containerd/io.containerd.runtime.v2.task"

    @property
    def places(self) -> tuple[str, ...]:
        """The directories looked at."""
        return (self._root,)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The namespaces to look for a container in that has no task."""
        there = (*_USUAL, *filter(_NAME.fullmatch, listed(self._root)))
        return tuple(scope for scope in dict.fromkeys(there) if scope != _DOCKERS)[:_MOST]

    def all(self) -> Iterator[Found]:
        """Every container that has a task."""
        for scope in listed(self._root):
            if scope != _DOCKERS:
                for identity in listed(f"{self._root}/{scope}"):
                    if found := self.find(identity, scope):
                        yield found

    def find(self, identity: str, scope: str = "") -> Found | None:
        """The container with an id in a namespace; in any, where an id is long enough for that."""
        if scope == _DOCKERS or not _NAME.fullmatch(identity):
            return None
        if _NAME.fullmatch(scope) and (found := self._read(scope, identity)):
            return found
        if len(identity) < 64:
            return None
        elsewhere = (s for s in listed(self._root) if s not in (scope, _DOCKERS))
        return next(filter(None, (self._read(s, identity) for s in elsewhere)), None)

    def _read(self, scope: str, identity: str) -> Found | None:
        directory = f"{self._root}/{scope}/{identity}"
        written = changed_at(f"{directory}/init.pid")
        if written is None:
            return None
        pid = read(f"{directory}/init.pid", 32).strip()
        keys = field(self._files.json(f"{directory}/config.json"), "annotations")
        container = _container(scope, identity, keys)
        return Found(container, number(int(pid)) if pid.isdigit() else 0, "running", written)


def _container(scope: str, identity: str, keys: Any) -> Container:
    pod = pod_of(keys)
    return Container(
        engine=Containerd.name,
        id=identity,
        # ctr's containers are called by their ids.
        name=pod.container if pod else word(field(keys, "nerdctl/name")) or _given(identity),
        image=pod.image if pod else None,
        pod=pod.name if pod else None,
        sandbox=pod.sandbox if pod else False,
        scope=scope,
    )


def _given(identity: str) -> str | None:
    """An id that a person chose is a name."""
    return None if re.fullmatch("[0-9a-f]{64}", identity) else identity
