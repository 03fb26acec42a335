"""The manual pages say what --help says, are well-formed, and name only what there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tracer.cli.main import COMMANDS, DEFAULT, udptrace
from tracer.manual import pages
from tracer.manual.build import command_of, group_context, manual_pages, page_of
from tracer.render import socket_columns

ROOT = Path(__file__).resolve().parents[2]
PAGES = dict(manual_pages())
SECTIONS = {
    "udptrace.1": ["EXAMPLES", "CAUSES", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"],
    **{
        f"udptrace-{name}.1": [
            "EXAMPLES",
            "OUTPUT FIELDS",
            "OVERHEAD",
            "CAVEATS",
            "EXIT STATUS",
            "SEE ALSO",
        ]
        for name in COMMANDS
    },
}


def mandoc(*arguments: str, page: str) -> subprocess.CompletedProcess[str]:
    """Run mandoc on a page."""
    return subprocess.run(
        ["mandoc", *arguments], input=PAGES[page], capture_output=True, text=True, check=False
    )


def rendered(page: str) -> str:
    """What a reader sees of it, without blanks and line ends."""
    shown = mandoc("-T", "utf8", "-O", "width=200", page=page).stdout
    return squeezed(re.sub(".\b", "", shown))


def squeezed(text: str) -> str:
    """Without blanks, whose number and place is the renderer's; nor the marks that are bold now."""
    return re.sub(r"[\s`]", "", text)


def test_there_is_a_page_for_each_command_and_no_other() -> None:
    assert set(PAGES) == set(SECTIONS)
    files = {path.stem for path in Path(pages.__path__[0]).glob("*.py")}
    assert files - {"__init__"} == set(COMMANDS)


@pytest.mark.parametrize("page", SECTIONS)
def test_a_page_is_well_formed(page: str) -> None:
    done = mandoc("-T", "lint", page=page)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    headings = re.findall(r'^\.SH "(.*)"$', PAGES[page], re.MULTILINE)
    assert headings[:4] == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]
    assert [one for one in headings[4:] if one != "COMMANDS"] == SECTIONS[page]
    assert PAGES[page].isascii()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_page_says_what_help_says(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tracer", *filter(None, [name]), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
    )
    page = rendered(f"udptrace-{name}.1" if name else "udptrace.1")
    usage, *paragraphs = done.stdout.split("Options:")[0].split("\n\n")
    options = done.stdout.split("Options:")[1].split("\nCommands:")[0]
    assert squeezed(usage.partition(": ")[2]).replace("COMMAND", "[COMMAND]") in page
    assert all(squeezed(paragraph) in page for paragraph in paragraphs)
    assert squeezed(options) in page


@pytest.mark.parametrize("name", COMMANDS)
def test_each_example_is_a_command_line(name: str) -> None:
    for line, _ in page_of(name).examples:
        words = shlex.split(re.split(r" [|>] (?!udptrace)", line)[0].rpartition(" | ")[2])
        assert words[0] == "udptrace", line
        named = words[1:2] if set(words[1:2]) <= set(COMMANDS) else []
        assert (named or [DEFAULT]) == [name], line
        command_of(name)[0].make_context(name, words[1 + len(named) :], parent=group_context())


def test_each_option_and_document_named_is_there() -> None:
    options = {
        option
        for name in COMMANDS
        for param in command_of(name)[0].get_params(group_context())
        for option in param.opts
    }
    for name, text in PAGES.items():
        text = text.replace(r"\-", "-")
        named = set(re.findall(r"\\fB(--[\w-]+)", text))
        assert named <= options | {"--version"}, name
        for document in re.findall(r"docs/[\w.-]+\w", text):
            assert (ROOT / document).exists(), (name, document)


def test_exit_status_3_is_told_where_there_is_one() -> None:
    for name in COMMANDS:
        source = (ROOT / f"tracer/cli/{name}.py").read_text()
        assert bool(page_of(name).bad_answer) == ("raise BadAnswer" in source), name


def test_every_label_of_an_incident_is_a_field() -> None:
    fields = squeezed(str(page_of("live").fields))
    shown = [*(ROOT / "tests/golden").glob("*.txt"), *(ROOT / "tests/recordings").rglob("*.txt")]
    labels = {
        label
        for path in shown
        if path.stem.startswith(("run-", "container", "published", "netcat", "causes"))
        for label in re.findall(r"^  (\w[\w ]{0,9}\w)  +\S", path.read_text(), re.MULTILINE)
    }
    assert {"refused by", "do"} < labels
    assert not [label for label in labels if squeezed(label) not in fields]


def test_every_column_of_a_listing_is_a_field() -> None:
    fields = " ".join(term for term, _ in page_of("sockets").fields)
    for column in (*socket_columns.DEFAULT, *socket_columns.EXPOSED):
        assert column.upper() in fields, column


def test_the_default_command_is_told() -> None:
    assert isinstance(udptrace, click.Group)
    assert squeezed("Without a command it is udptrace live") in rendered("udptrace.1")
