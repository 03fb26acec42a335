"""What a shell's completion asks: words, files, and the names of containers and namespaces."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import click
from click.shell_completion import shell_complete

from tracer.cli.streams import PROG

VARIABLE = "_UDPTRACE_COMPLETE"
"""Set by the completion scripts, which click makes (`tracer/manual/`)."""

FILE = click.Path()
"""An argument or option that a shell completes as a file."""

# A name goes into a command line, where a shell would run what it finds in it.
_HARMLESS = re.compile(r"[\w.@%+/][\w.@%+/-]*", re.ASCII)
_MOST = 1000


def answer(command: click.Command) -> bool:
    """Answer the shell, and whether one has asked. A completion never fails aloud."""
    instruction = os.environ.get(VARIABLE)
    if not instruction:
        return False
    with suppress(Exception):
        shell_complete(command, {}, PROG, VARIABLE, instruction)
    return True


def containers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names and pods of the running containers that may be read here."""
    if _is_of_recording(ctx):
        return []
    from tracer.system.containers.engines import Engines

    running = [found.container for found in Engines().all() if found.running]
    pods = {container.pod for container in running if container.pod}
    names = {container.label for container in running if not container.pod}
    return _offered(names | pods, incomplete)


def namespaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of `ip netns`, and the words for the host's and for all."""
    named: Iterable[str] = ()
    if not _is_of_recording(ctx):
        from tracer.system.netns import netns_names

        named = netns_names()
    return _offered({"host", "all", *named}, incomplete)


def listed(
    words: Collection[str],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For a list with commas: those of some words that may come next, after what is there."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        there = before.split(",")
        fitting = (word for word in words if word.startswith(last) and word not in there)
        return [f"{before}{comma}{word}" for word in fitting]

    return complete


def _is_of_recording(ctx: click.Context) -> bool:
    """Whether targets are looked up in a recording, of which this machine's names say nothing."""
    arguments = (param for param in ctx.command.params if isinstance(param, click.Argument))
    # With an option that has no value yet, click leaves the words before it in `args`.
    return any(
        isinstance(argument.type, click.Path) and (argument.required or ctx.args)
        for argument in arguments
    )


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin so, and mean nothing to a shell."""
    fitting = (name for name in names if name.startswith(incomplete) and _HARMLESS.fullmatch(name))
    return sorted(fitting)[:_MOST]
