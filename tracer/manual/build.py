"""The manual pages: from the commands as --help shows them, and from the data in pages/."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence

import click

from tracer import __version__
from tracer.causes import Cause
from tracer.cli.main import COMMANDS, EPILOG, udptrace
from tracer.cli.streams import PROG
from tracer.manual.page import STATUSES, Page
from tracer.manual.roff import bold, heading, italic, joined, listed, paragraphs, words

SECTION = 1
DATE = "2026-11-26"
"""When what the pages say was last gone through."""

_FILES = (
    ("/sys/kernel/btf/vmlinux", "The offsets of the kernel's structs."),
    ("/var/cache/udptrace/", "Probes that root's starts have compiled for this kernel."),
    ("/run/netns/", "Network namespaces by the names of `ip netns`."),
    ("/usr/share/doc/udptrace/", "The documents that these pages name as docs/; below /usr/local"
     " where `scripts/install` has installed it."),
)  # fmt: skip
_ENVIRONMENT = (
    ("NO_COLOR", "No colour, unless `--color always` asks for it."),
    ("UDPTRACE_DEBUG", "Set, it shows the traceback of an internal error."),
)
_BAD_ANSWER = (
    "3",
    "The answer is bad: no socket would take it (`check`), there is more (`diff`), or there is"
    " such a socket (`sockets --fail-on`).",
)


def manual_pages() -> Iterator[tuple[str, str]]:
    """The file name and the content of each page."""
    yield _named(PROG), _overview()
    for name in COMMANDS:
        yield _named(f"{PROG}-{name}"), _subcommand(name)


def page_of(name: str) -> Page:
    """What the page of a subcommand says beyond --help."""
    page: Page = importlib.import_module(f"tracer.manual.pages.{name}").PAGE
    return page


def group_context() -> click.Context:
    """The context of `udptrace` itself."""
    return click.Context(udptrace, info_name=PROG, **udptrace.context_settings)


def command_of(name: str) -> tuple[click.Command, click.Context]:
    """A subcommand, and its context as its --help has it."""
    group = group_context()
    command = udptrace.get_command(group, name)
    if command is None:
        raise LookupError(name)
    return command, click.Context(command, info_name=name, parent=group)


def _named(page: str) -> str:
    return f"{page}.{SECTION}"


def _overview() -> str:
    commands = ((name, command_of(name)[0]) for name in COMMANDS)
    return _page(
        PROG,
        udptrace,
        [
            *_options(udptrace, group_context()),
            heading("COMMANDS"),
            *listed((bold(f"{PROG} {name}"), _first(command)) for name, command in commands),
            *_section("EXAMPLES", _examples(page_of("live"))),
            *_section(
                "CAUSES", _plain([(cause.value, _sentence(cause.meaning)) for cause in Cause])
            ),
            *_section("EXIT STATUS", _plain((*STATUSES, _BAD_ANSWER))),
            *_section("ENVIRONMENT", _plain(_ENVIRONMENT)),
            *_section("FILES", _plain(_FILES)),
            *_see_also([f"{PROG}-{name}" for name in COMMANDS], ["docs/causes.md"]),
        ],
        more=EPILOG.split("\n\n")[:1],
    )


def _subcommand(name: str) -> str:
    command, context = command_of(name)
    page = page_of(name)
    return _page(
        f"{PROG}-{name}",
        command,
        [
            *_options(command, context),
            *_section("EXAMPLES", _examples(page)),
            *_section("OUTPUT FIELDS", _plain(page.fields)),
            heading("OVERHEAD"),
            words(page.overhead),
            heading("CAVEATS"),
            *paragraphs(page.caveats),
            *_section("EXIT STATUS", _plain(page.statuses)),
            *_see_also([PROG], [f"docs/{doc}" for doc in page.docs]),
        ],
        usage=command.collect_usage_pieces(context),
    )


def _page(
    title: str,
    command: click.Command,
    rest: Sequence[str],
    *,
    usage: Sequence[str] = ("[OPTIONS]", "[COMMAND]", "[ARGS]..."),
    more: Sequence[str] = (),
) -> str:
    """A whole page: its head, what the command is, and the rest of it."""
    text = command.help or ""
    synopsis = [bold(title.replace("-", " ", 1)), *(italic(piece) for piece in usage)]
    lines = [
        f'.TH {title.upper()} {SECTION} "{DATE}" "{PROG} {__version__}"',
        ".nh",
        ".ad l",
        heading("NAME"),
        words(title) + r" \-",
        words(_phrase(command)),
        heading("SYNOPSIS"),
        joined(synopsis),
        heading("DESCRIPTION"),
        *paragraphs([*text.split("\n\n"), *more]),
        *rest,
    ]
    return "\n".join(lines) + "\n"


def _first(command: click.Command) -> str:
    """The first paragraph of a command's help: a sentence."""
    return (command.help or "").split("\n\n")[0]


def _sentence(phrase: str) -> str:
    """A phrase as a sentence of its own."""
    return f"{phrase[:1].upper()}{phrase[1:]}."


def _phrase(command: click.Command) -> str:
    """The same as a title."""
    sentence = _first(command)
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    yield heading("OPTIONS")
    options = (one for one in command.get_params(context) if isinstance(one, click.Option))
    records = (option.get_help_record(context) for option in options)
    yield from listed((_option(record[0]), record[1]) for record in records if record)


def _option(names: str) -> str:
    """``-f, --format [text|json]``: what is typed, and what stands for something."""
    match = re.fullmatch(r"(-[^\s,]+(?:, -[^\s,]+)*)(?: (.+))?", names)
    if match is None:
        raise ValueError(f"not the names of an option: {names}")
    typed = ", ".join(bold(name) for name in match[1].split(", "))
    return f"{typed} {italic(match[2])}" if match[2] else typed


def _section(title: str, items: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield heading(title)
    yield from listed(items)


def _examples(page: Page) -> Iterator[tuple[str, str]]:
    return ((bold(command), what) for command, what in page.examples)


def _plain(items: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((bold(term), text) for term, text in items)


def _see_also(pages: Sequence[str], docs: Sequence[str] = ()) -> Iterator[str]:
    yield heading("SEE ALSO")
    named = [f"{bold(page)}({SECTION})" for page in pages]
    yield joined(f"{one}," for one in [*named, *map(words, docs)]).rstrip(",")
