"""The command `udptrace`: its subcommands, each imported only when it is used."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from tracer import __version__
from tracer.cli.completion import answer
from tracer.cli.errors import exit_code_of
from tracer.cli.streams import PROG, show

DEFAULT = "live"
"""What `udptrace` without a subcommand means."""

_NEW_OBJECTS = 50_000
"""New objects after which Python looks for cycles to free, in place of 700: the linker makes none,
and holds so many objects for a minute that looking took a tenth of its time."""

COMMANDS = (
    "live",
    "record",
    "replay",
    "report",
    "export",
    "diff",
    "sockets",
    "states",
    "check",
    "top",
    "doctor",
)
"""In the order of the help; each is `command` of the module of its name beside this one."""

EPILOG = """Without a command it is `udptrace live`, whose options it takes: see `udptrace live -h`.

Exit codes: 0; 1 a failure, with its reason on stderr; 2 wrong usage; 3 the answer is bad."""


class LazyGroup(click.Group):
    """Start-up must be light: a subcommand's module is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tracer.cli.{cmd_name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options without a subcommand are those of `live`."""
        own = {"-h", "--help", "--version"}
        nothing = not args and not ctx.resilient_parsing  # a completion asks what may come
        if nothing or (args and args[0].startswith("-") and args[0] not in own):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The subcommands, and the options of `live` beside the command's own."""
        items = super().shell_complete(ctx, incomplete)
        live = self.get_command(ctx, DEFAULT) if incomplete.startswith("-") else None
        if live is not None:
            own = {item.value for item in items}
            theirs = live.shell_complete(click.Context(live, parent=ctx), incomplete)
            items += [item for item in theirs if item.value not in own]
        return items


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    """The versions of all that outlives a release."""
    if not wanted or ctx.resilient_parsing:
        return
    from tracer.incident import SCHEMA
    from tracer.recording.codec import FORMAT

    show(f"{PROG} {__version__} (recording format {FORMAT}, JSON schema {SCHEMA})\n")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    name=PROG,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the versions of udptrace, of its recordings and of its JSON lines, and exit.",
)
def udptrace() -> None:
    """Say which socket refused a UDP datagram, which field of it did, and how it came to be so."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line (by default the process's) and exit."""
    gc.set_threshold(_NEW_OBJECTS)
    if answer(udptrace):
        sys.exit(0)
    given = list(sys.argv[1:] if args is None else args)
    sys.exit(exit_code_of(udptrace, PROG, given))
