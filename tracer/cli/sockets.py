"""`udptrace sockets`: every UDP socket, and what ss does not say of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import click

from tracer.cli.options import habit_option, selecting_sockets, target_options, words_option
from tracer.cli.output import write_out
from tracer.cli.streams import say
from tracer.errors import BadAnswer, StartError, UdptraceError, UsageError
from tracer.kernel import capabilities
from tracer.render.socket_columns import COLUMNS, DEFAULT, EXPOSED, in_order
from tracer.render.sockets import csv_rows, exposure, jsonl, meanings, table
from tracer.select import selection_of
from tracer.sockets.accepts import exposed
from tracer.sockets.choose import Choice, PortOrigin, State, chosen
from tracer.sockets.model import Listed, Need
from tracer.summary import many
from tracer.system.containers.resolve import namespaces_now
from tracer.system.listing import NO_FACTS, Listing, ReadFacts, take_listing
from tracer.system.targets import resolve_targets

KERNEL_CHOSEN_ANY = "kernel-chosen-any"

_LISTENING = (
    "-l: UDP has no listening state; what ss -l selects, and this, is UNCONN: every socket that is"
    " not connected, servers and clients alike"
)


@dataclass(frozen=True)
class SocketOptions:
    """The options of `sockets`."""

    netns: tuple[str, ...]
    pids: tuple[int, ...]
    containers: tuple[str, ...]
    selection: tuple[tuple[str, str], ...]
    output_format: Literal["table", "json", "csv"]
    columns: tuple[str, ...] | None
    sort: str | None
    state: State | None
    listening: bool
    every: bool
    port_origin: PortOrigin | None
    exposed: bool
    fail_on: str | None


@click.command("sockets")
@target_options
@click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="json is one object a line, with everything.",
)
@words_option(
    "--columns",
    COLUMNS,
    f"What is shown of each, of: {', '.join(COLUMNS)}.  [default: {','.join(DEFAULT)};"
    " csv: all of them]",
)
@click.option(
    "--sort",
    type=click.Choice(list(COLUMNS)),
    metavar="COLUMN",
    help="Sort by a column; rx, tx and drops begin with the largest.  [default: netns and port]",
)
@click.option("--state", type=click.Choice(["UNCONN", "ESTAB"]), help="Only these.")
@click.option("-l", "listening", is_flag=True, help="What ss -l selects of UDP: --state UNCONN.")
@click.option("-a", "every", is_flag=True, help="What ss -a selects: all, as without it.")
@habit_option
@click.option(
    "--exposed",
    is_flag=True,
    help="Only those that take datagrams from others than their peer and their own netns, and what"
    " stands before the others.",
)
@click.option(
    "--fail-on",
    type=click.Choice([KERNEL_CHOSEN_ANY]),
    help="End with 3 if one of those shown is exposed at a port that the kernel chose.",
)
@click.option(
    "--port-origin",
    type=click.Choice(["bound", "kernel-chosen"]),
    help="Only those whose port bind() named, or the kernel chose.",
)
@selecting_sockets
def command(**options: object) -> None:
    """List UDP sockets: where the port came from, whom it takes datagrams from, who holds it.

    All of the machine's, of either state, unless a target or a filter says otherwise.
    """
    list_sockets(SocketOptions(**options))  # type: ignore[arg-type]


def list_sockets(options: SocketOptions) -> None:
    """Look, show and judge. Raises UdptraceError."""
    choice = _choice(options)
    with _uncollected():
        _list(options, choice)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which looks for cycles among 100,000 sockets time and again:
    a quarter of the time, and there are none."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _list(options: SocketOptions, choice: Choice) -> None:
    listing = _look(options, _needs(options, choice))
    for line in listing.problems:
        say(line)
    by = options.sort or ("port-origin" if options.exposed else None)
    every = list(chosen(listing.sockets, replace(choice, exposed=False)))
    shown = in_order(list(chosen(every, choice)), by)
    write_out(None, _pieces(options, shown, every), ())
    if options.port_origin is None and options.fail_on is None:
        return
    # They pass no filter by origin, and may be what is asked for all the same.
    of_any_origin = chosen(listing.sockets, replace(choice, port_origin=None))
    unknown = [listed for listed in of_any_origin if listed.port_origin is None]
    if options.port_origin is not None and unknown:
        say(f"--port-origin: left out, for it is not known: {many(len(unknown), 'socket')}")
    if options.fail_on is not None:
        _judge(shown, unknown, listing.unread)


def _choice(options: SocketOptions) -> Choice:
    """The filters. Raises UsageError for options that contradict each other."""
    state = options.state
    if options.listening and (options.every or state == "ESTAB"):
        raise UsageError("-l selects UNCONN only: leave out -a and --state ESTAB")
    if options.columns is not None and options.output_format == "json":
        raise UsageError("--columns: json has every field; use -f csv or -f table")
    if options.listening:
        say(_LISTENING)
        state = "UNCONN"
    selection = selection_of(options.selection)
    return Choice(selection, state, options.port_origin, options.exposed)


def _columns(options: SocketOptions) -> tuple[str, ...]:
    """Those of a table or of CSV."""
    if options.columns is not None:
        return options.columns
    if options.output_format == "csv":
        return tuple(COLUMNS)
    return EXPOSED if options.exposed else DEFAULT


def _needs(options: SocketOptions, choice: Choice) -> Need:
    """What is shown, sorted by, filtered by or judged takes; the rest is not looked up."""
    if options.output_format == "json":
        return Need.ALL
    needs = choice.needs
    for column in (*_columns(options), *filter(None, [options.sort])):
        needs |= COLUMNS[column].needs
    # Both tell of the ports' origins.
    return needs | (Need.FACTS if options.exposed or options.fail_on else Need.NONE)


def _look(options: SocketOptions, needs: Need) -> Listing:
    """The sockets of the targets. Raises UdptraceError where nothing at all can be looked at."""
    targets = resolve_targets(options.netns, options.pids)
    wanted = dict(zip(targets.inums, targets.names, strict=True))
    wanted |= dict.fromkeys(namespaces_now(options.containers), "-c")
    with ExitStack() as stack:
        read_facts = _iterator(stack) if Need.FACTS in needs else None
        for finding in capabilities.losses():
            if finding.name in capabilities.FOR_PROCESSES:
                say(f"{finding.detail}: {finding.lost}")
        listing = take_listing(wanted, read_facts, needs)
    if listing.unread and not listing.sockets:
        raise UdptraceError("; ".join(listing.problems))
    return listing


def _iterator(stack: ExitStack) -> ReadFacts | None:
    """The kernel's, closed with the stack; None, which is said, where it cannot be had."""
    try:
        # Only now: BCC and its compiler.
        from tracer.kernel.iterator import SocketIterator

        return stack.enter_context(closing(SocketIterator())).read
    except StartError as error:
        say(f"{NO_FACTS} are not known: {error}")
        return None


def _pieces(
    options: SocketOptions, shown: Sequence[Listed], every: Sequence[Listed]
) -> Iterator[str]:
    if options.output_format == "json":
        yield from jsonl(shown)
    elif options.output_format == "csv":
        yield from csv_rows(shown, _columns(options))
    else:
        yield from table(shown, _columns(options))
        yield from exposure(shown, every) if options.exposed else meanings(shown, _columns(options))


def _judge(shown: Sequence[Listed], unknown: Sequence[Listed], unread: int) -> None:
    """Raises BadAnswer for --fail-on, and UdptraceError where that cannot be told."""
    bad = [listed for listed in exposed(shown) if listed.port_origin == "kernel-chosen"]
    if bad:
        raise BadAnswer(
            f"{KERNEL_CHOSEN_ANY}: {many(len(bad), 'socket')} that anyone can reach at a port that"
            " the kernel chose"
        )
    doubtful = exposed(unknown)
    if doubtful or unread:
        raise UdptraceError(
            f"--fail-on {KERNEL_CHOSEN_ANY}: cannot be told: the port's origin of"
            f" {many(len(doubtful), 'exposed socket')} is not known, and"
            f" {many(unread, 'network namespace')} could not be looked at"
        )
