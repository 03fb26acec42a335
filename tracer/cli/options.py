"""The options that commands share, each defined once."""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click

from tracer.causes import Cause
from tracer.cli.completion import containers, listed, namespaces

F = TypeVar("F", bound=Callable[..., Any])

_UNITS_S = {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)
_LONGEST_S = 100 * 365 * 86400


def duration_ns(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Nanoseconds of a time span: seconds, or a number with a unit (30s, 5m, 1h)."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value.strip().lower())
    if match is None or match[2] not in _UNITS_S:
        raise click.BadParameter(f"{value!r} is not a duration such as 30, 30s or 5m", ctx, param)
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not 0 < seconds <= _LONGEST_S:
        raise click.BadParameter(f"{value!r} is not between 0 and 100 years", ctx, param)
    return int(seconds * 1_000_000_000)


_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,15})([KMGT]?)(?:I?B)?", re.ASCII)
LEAST_SIZE = 64 << 10


def size_bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Bytes of a size: a number with a unit (512K, 10M, 1G), each 1024 of the one before."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip().upper())
    if match is None:
        raise click.BadParameter(f"{value!r} is not a size such as 512K, 10M or 1G", ctx, param)
    size = int(match[1]) * _SIZES[match[2]]
    if size < LEAST_SIZE:
        raise click.BadParameter(f"{value!r} is less than {LEAST_SIZE >> 10}K", ctx, param)
    return size


_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:\s]*):(\d{1,5})", re.ASCII)


def address(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """(host, port) of ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT``, whose host is empty."""
    if value is None:
        return None
    match = _ADDRESS.fullmatch(value)
    if match is None or not 0 < int(match[2]) < 65536:
        raise click.BadParameter(f"{value!r} is not :PORT, HOST:PORT or [IPV6]:PORT", ctx, param)
    return match[1].strip("[]"), int(match[2])


def _all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of several, the first shown first in the help."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def words_option(name: str, known: Collection[str], about: str) -> Callable[[F], F]:
    """An option that takes a list of known words with commas between them, or None without it."""
    return click.option(
        name,
        metavar="A,B,...",
        callback=_split_words(known),
        shell_complete=listed(known),
        help=about,
    )


def _split_words(known: Collection[str]) -> Callable[..., tuple[str, ...] | None]:
    def callback(
        ctx: click.Context, param: click.Parameter, value: str | None
    ) -> tuple[str, ...] | None:
        if value is None:
            return None
        words = tuple(word.strip() for word in value.split(","))
        for word in words:
            if word not in known:
                raise click.BadParameter(f"{word!r} is not one of {', '.join(known)}", ctx, param)
        return words

    return callback


json_or_text_option = click.option(
    "-f",
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How results are printed; json is one object a line.",
)

output_options = _all_of(
    json_or_text_option,
    click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colour; auto: on a terminal, unless NO_COLOR is set.",
    ),
)

habit_option = click.option(
    "-n",
    "numeric",
    is_flag=True,
    expose_value=False,
    help="Accepted out of habit: no address or port is ever resolved.",
)

target_options = _all_of(
    click.option(
        "-c",
        "--container",
        "containers",
        multiple=True,
        metavar="NAME|ID|NAMESPACE/POD",
        shell_complete=containers,
        help="Show only what concerns this container's network namespace. May be repeated, as the "
        "next two. A pod's container is NAMESPACE/POD/CONTAINER.",
    ),
    click.option(
        "-N",
        "--netns",
        multiple=True,
        metavar="NAME|PATH|INUM|host|all",
        shell_complete=namespaces,
        help="The same for a network namespace.",
    ),
    click.option(
        "-p",
        "--pid",
        "pids",
        type=click.IntRange(min=1),
        multiple=True,
        metavar="PID",
        help="The same for that of a process, as nsenter -t.",
    ),
)


def _network(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks as ipaddress writes them."""
    try:
        return tuple(str(ipaddress.ip_network(text)) for text in value)
    except ValueError as error:
        raise click.BadParameter(f"{error}", ctx, param) from None


def selecting(function: F) -> F:
    """The filters as options; the command gets them as one ``selection`` of (kind, word) pairs."""
    return _selecting(function, _filter_options)


def selecting_sockets(function: F) -> F:
    """The same for a command about sockets: those of the filters that a socket can pass."""
    return _selecting(function, _socket_filter_options)


def selecting_transitions(function: F) -> F:
    """The same for a command about what becomes of sockets: those that a call can pass."""
    return _selecting(function, _transition_filter_options)


def _selecting(function: F, options: Callable[[F], F]) -> F:
    @functools.wraps(function)
    def command(**given: Any) -> Any:
        pairs = [(kind, str(word)) for kind in _FILTERS for word in given.pop(kind, ())]
        for flag, family in (("only4", "ipv4"), ("only6", "ipv6")):
            if given.pop(flag):
                pairs.append(("family", family))
        direction = given.pop("direction", None)
        if direction:
            pairs.append(("direction", direction))
        return function(selection=tuple(pairs), **given)

    return options(command)  # type: ignore[arg-type]


_FILTERS = ("cause", "port", "host", "process")


def _ends_options(of: str, at_port: str, at_host: str, whose: str) -> Callable[[F], F]:
    """Filters by either end, by process and by family; the words say of what."""
    return _all_of(
        click.option(
            "--port",
            type=click.IntRange(1, 65535),
            metavar="PORT",
            multiple=True,
            help=f"... {at_port} this port.",
        ),
        click.option(
            "--host",
            metavar="ADDRESS[/BITS]",
            multiple=True,
            callback=_network,
            help=f"... {at_host} this address or network.",
        ),
        click.option(
            "--process",
            metavar="PID|NAME",
            multiple=True,
            help=f"... {whose}.",
        ),
        click.option("-4", "--ipv4", "only4", is_flag=True, help=f"... of IPv4 {of}."),
        click.option("-6", "--ipv6", "only6", is_flag=True, help=f"... of IPv6 {of}."),
    )


_filter_options: Callable[[Any], Any] = _all_of(
    click.option(
        "--direction",
        type=click.Choice(["in", "out", "both"]),
        help="Of the targets: in, what they did not take; out, what they sent.  [default: both]",
    ),
    click.option(
        "--cause",
        type=click.Choice([cause.value for cause in Cause]),
        metavar="CAUSE",
        multiple=True,
        help="Show only incidents with this cause. May be repeated, as those below.",
    ),
    _ends_options(
        "datagrams",
        "of datagrams from or to",
        "of datagrams from or to",
        "whose socket, sender or told socket is this process's",
    ),
)

_socket_filter_options: Callable[[Any], Any] = _ends_options(
    "sockets", "with either end at", "with either end in", "held by this process"
)

_transition_filter_options: Callable[[Any], Any] = _ends_options(
    "sockets",
    "with either end at, or asked for,",
    "with either end in, or asked for in,",
    "made by a call of this process",
)

bounds_options = _all_of(
    click.option(
        "--max-size",
        metavar="SIZE",
        callback=size_bytes,
        help="Go on in FILE.1, FILE.2 and so on when a file has grown to this size: 512K, 10M, 1G.",
    ),
    click.option(
        "--max-files",
        type=click.IntRange(min=2),
        metavar="N",
        help="Keep so many of them, and delete the oldest.",
    ),
)

metrics_option = click.option(
    "--metrics",
    metavar="[HOST]:PORT",
    callback=address,
    help="Serve Prometheus metrics there; on loopback unless a host is named, such as 0.0.0.0.",
)

closed_window_option = click.option(
    "--closed-window",
    "closed_window_ns",
    metavar="DURATION",
    callback=duration_ns,
    help="How long a closed socket is remembered as a cause.  [default: 60s]",
)

run_options = _all_of(
    click.option(
        "--wait",
        is_flag=True,
        help="Let -c name containers that do not run yet, and trace them from their start.",
    ),
    click.option(
        "--duration",
        "duration_ns",
        metavar="DURATION",
        callback=duration_ns,
        help="End after so long: 30, 30s, 5m, 1h.",
    ),
    click.option(
        "--ready-file",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Create FILE once every probe is attached and proven.",
    ),
    click.option(
        "--settle",
        "settle_ns",
        metavar="DURATION",
        callback=duration_ns,
        help="How long what happened is held for what belongs to it; a slow or emulated machine "
        "may need more.  [default: 200ms]",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Tell the phases of the start on stderr."),
)

trace_options = _all_of(
    run_options,
    click.option(
        "--count",
        type=click.IntRange(min=1),
        metavar="N",
        help="End after so many distinct incidents.",
    ),
    click.option(
        "--lookups",
        type=click.Choice(["on", "off"]),
        help="off: leave out the probe on the receive path; received datagrams then cost nothing.  "
        "[default: on; off with record --ring]",
    ),
    click.option(
        "--all-icmp",
        is_flag=True,
        help="Also tell of ICMP that asks for smaller datagrams (fragmentation needed).",
    ),
    click.option(
        "--snaplen",
        type=click.IntRange(0, 2048),
        default=0,
        metavar="BYTES",
        help="Keep so many bytes of a datagram that missed, its payload among them, for "
        "`export --to pcapng`; up to 2048.  [default: its headers]",
    ),
)


def wants_color(choice: str) -> bool:
    """Whether standard output gets colour (https://no-color.org)."""
    if choice != "auto":
        return choice == "always"
    return not os.environ.get("NO_COLOR") and sys.stdout is not None and sys.stdout.isatty()
