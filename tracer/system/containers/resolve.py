"""What -c means: the words of the command line -> containers, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracer.containers import SHORT, Group, meant_by
from tracer.errors import UsageError
from tracer.system.containers.commands import COMMANDS, NO_ANSWER, NOT_INSTALLED, ctr
from tracer.system.containers.engines import Engines
from tracer.system.containers.found import Found
from tracer.system.initial import hides_machine, is_initial
from tracer.system.netns import initial_inum
from tracer.text import clean

_LISTED = 8
"""Containers that a message lists."""


@dataclass(frozen=True)
class Checked:
    """The words of -c after a look at this machine."""

    followed: tuple[str, ...]
    fixed: dict[str, int]
    """Those whose files are not seen here: known from their engine's command, as they are now, by
    the inode number of their network namespace."""
    lines: tuple[str, ...]
    """What the user is to know."""


def check(specs: Iterable[str], *, wait: bool) -> Checked:
    """Whether the containers asked for are there. Raises UsageError."""
    engines = _engines()
    followed, lines, fixed = [], [], {}
    for spec in specs:
        matches, by_command = resolve(spec, engines, wait=wait)
        inums = [found.netns for found in matches]
        if by_command and inums and inums[0] is not None:
            fixed[clean(spec)] = inums[0]
            lines.append(
                f"container {clean(spec)} is known from its engine's command only, and not"
                " followed when it restarts: its state is not where udptrace looks"
            )
            continue
        followed.append(spec)
        if not matches:
            lines.append(f"waiting for container {clean(spec)} to start")
        elif initial_inum(()) in inums:
            lines.append(
                f"container {clean(spec)} shares the host's network:"
                " all that concerns the host is shown"
            )
    return Checked(tuple(followed), fixed, tuple(lines))


def namespaces_now(specs: Iterable[str]) -> tuple[int, ...]:
    """The network namespaces that the containers are in now, each once. Raises UsageError."""
    specs = tuple(specs)
    if not specs:
        return ()
    engines = _engines()
    found = [one for spec in specs for one in resolve(spec, engines, wait=False)[0]]
    inums = dict.fromkeys(one.netns for one in found)
    if None in inums:
        raise UsageError("-c: the container's network namespace may not be read: run as root")
    return tuple(filter(None, inums))


def _engines() -> Engines:
    if is_initial("pid") is False:
        raise UsageError(
            "-c: a container is found by its first process, and the machine's processes are not"
            " seen in this PID namespace: docker run --pid=host"
        )
    return Engines()


def resolve(spec: str, engines: Engines, *, wait: bool) -> tuple[list[Found], bool]:
    """The running containers that a word means: one, a pod's, or none where they are waited for;
    and whether only their engine's command knows them.

    Raises UsageError: unknown (with where it was looked for), ambiguous, or not running.
    """
    groups, asked = meant(spec, engines), ""
    by_command = not groups and not wait
    if by_command:
        groups, asked = _by_commands(spec, engines)
    if len(groups) > 1:
        raise UsageError(f"-c {clean(spec)}: {ambiguous(groups)}")
    matches = next(iter(groups.values()), [])
    running = [found for found in matches if found.running]
    if running or wait:
        return running, by_command
    if matches:
        raise UsageError(f"-c {clean(spec)}: {_stopped(matches)}")
    raise UsageError(f"-c {clean(spec)}: {_unknown(engines)}{asked}")


def meant(spec: str, engines: Engines) -> dict[Group, list[Found]]:
    """The containers that a word means, by what stays the same when one is made anew."""
    every = engines.all()
    by_container = {found.container: found for found in every}
    groups = meant_by(spec, by_container)
    return {
        group: [by_container[container] for container in containers]
        for group, containers in groups.items()
    }


def _by_commands(spec: str, engines: Engines) -> tuple[dict[Group, list[Found]], str]:
    """What the engines' commands answer, each for itself, and what they do not."""
    groups: dict[Group, list[Found]] = {}
    reasons: dict[str, str] = {}
    for command in (*COMMANDS, *map(ctr, engines.containerd.scopes)):
        if reasons.get(command.program_name) in (NOT_INSTALLED, NO_ANSWER):
            continue
        found, reason = command.ask(spec)
        if found is not None:
            groups[command.words] = [found]
        else:
            reasons[command.program_name] = reason
    said = ", ".join(f"{program}: {reason}" for program, reason in reasons.items())
    return groups, f"; {said}" if said else ""


def ambiguous(groups: dict[Group, list[Found]]) -> str:
    """That a word means several containers, and which."""
    matches = [found for group in groups.values() for found in group]
    more = f", and {len(matches) - _LISTED} more" if len(matches) > _LISTED else ""
    listed = ", ".join(_listed(found) for found in matches[:_LISTED])
    return f"it may be any of {listed}{more}: give more of the id"


def _listed(found: Found) -> str:
    container = found.container
    pod = f" of pod {container.pod}" if container.pod else ""
    scope = f" in containerd's {container.scope}" if container.scope else ""
    status = "running" if found.running else found.status
    return f"{container.label}{pod} ({container.who}{scope}, {status})"


def _stopped(matches: Iterable[Found]) -> str:
    found = next(iter(matches))
    container = found.container
    status = "its process is gone" if found.pid else found.status
    by_hand = container.engine in ("docker", "podman") and container.uid is None
    start = f" with `{container.engine} start {container.id[:SHORT]}`" if by_hand else ""
    return (
        f"the container {container.label} ({container.who}) is stopped ({status}): start it{start},"
        " or let --wait wait for it"
    )


def _unknown(engines: Engines) -> str:
    """Where it was looked for, and what could not be read there."""
    looked = []
    for place in engines.places:
        if place.closed:
            looked.append(f"{place.engine}: {', '.join(place.closed)} may not be read: run as root")
        else:
            looked.append(f"{place.engine}: {', '.join(place.there) or 'has no state here'}")
    said = f"no container of this name or id; looked at {'; '.join(looked)}"
    if hides_machine():
        said += (
            "; these are a container's own directories, the machine's are seen with"
            " --cap-add=SYS_PTRACE, or mounted with -v"
        )
    return said
