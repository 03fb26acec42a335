"""Whatever ends a command -> one line on stderr and an exit code, in one place."""

from __future__ import annotations

import os

import click

from tracer.cli.streams import drop_stdout, finish_stdout, prepare_stdout, say
from tracer.errors import UdptraceError

FAILURE = 1
INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended before it could end well."""

DEBUG = "UDPTRACE_DEBUG"
"""Set in the environment, it shows the traceback of an internal error."""


def exit_code_of(command: click.Command, prog: str, args: list[str]) -> int:
    """Run the command with its arguments; its exit code, the reason for it being told."""
    prepare_stdout()
    try:
        _invoke(command, prog, args)
        finish_stdout()
    except click.exceptions.Exit as request:
        return request.exit_code
    except UdptraceError as error:
        say(str(error))
        return error.exit_code
    except click.ClickException as error:
        say(_usage_line(error))
        return error.exit_code
    except BrokenPipeError:
        drop_stdout()  # whoever read our output has had enough
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except MemoryError:
        say("out of memory: see `ulimit -v`, and the memory limit of its cgroup (systemd, docker)")
        return FAILURE
    except Exception as error:
        return _unforeseen(error)
    return 0


def _invoke(command: click.Command, prog: str, args: list[str]) -> None:
    # Not command.main(), which takes a closed pipe for a failure.
    with command.make_context(prog, args) as context:
        command.invoke(context)


def _usage_line(error: click.ClickException) -> str:
    """click's message in one line, with where to read on."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')}; see `{error.ctx.command_path} --help`"
    return message


def _unforeseen(error: Exception) -> int:
    if os.environ.get(DEBUG):
        raise error
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    # The system's refusals (a full disk under standard output) are no defect of ours.
    what = str(error) if isinstance(error, OSError) else f"internal error: {reason}"
    say(f"{what}; run with {DEBUG}=1 for the traceback")
    return FAILURE
