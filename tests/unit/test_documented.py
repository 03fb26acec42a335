"""Commands, options, causes and messages are in the pages, as they are in the code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tracer.causes import Cause
from tracer.cli.main import COMMANDS, udptrace
from tracer.manual.build import command_of

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
EVERYTHING = README + "".join(PAGES.values())
SOURCE = "".join(path.read_text() for path in sorted((ROOT / "tracer").rglob("*.py")))
CAUSES = ROOT / "docs/causes.md"
RECORDING = ROOT / "tests/recordings/v1/causes.udptrace"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_has_a_page(name: str) -> None:
    assert name == "live" or re.search(rf"^    udptrace {name}\b", README, re.MULTILINE)
    assert f"udptrace {name}" in "".join(PAGES.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_pages(name: str) -> None:
    command, context = command_of(name)
    for param in command.get_params(context):
        if isinstance(param, click.Option) and "--help" not in param.opts:
            assert any(_is_named(option) for option in param.opts), (name, param.opts)


def _is_named(option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", EVERYTHING) is not None


def test_every_page_is_named_in_the_readme_or_by_a_page_that_is() -> None:
    documents = {path.name for path in (ROOT / "docs").iterdir()}
    found: set[str] = set()
    texts = [README]
    while texts:
        named = set(re.findall(r"(?:docs/)?([\w-]+(?:\.schema\.json|\.md))", texts.pop()))
        new = (named & documents) - found
        found |= new
        texts += [PAGES.get(name, "") for name in new]
    assert found == documents


def test_every_document_and_file_named_is_there() -> None:
    paths = r"`((?:docs|scripts|tracer|tests|bpf)/[\w./-]*\w/?)`"
    for name, text in {"README.md": README, **PAGES}.items():
        for path in re.findall(paths, text.replace("/NAME.py", "/")):
            assert (ROOT / path).exists(), (name, path)


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_its_section_with_a_real_example(cause: Cause) -> None:
    """GOLDEN=write writes the examples anew, from the recording."""
    meaning = f"{cause.meaning[0].upper()}{cause.meaning[1:]}."
    head, found, rest = CAUSES.read_text().partition(f"\n## `{cause}`\n\n{meaning}\n")
    assert found
    before, shown, after = rest.split("```\n", 2)
    done = CliRunner().invoke(udptrace, ["replay", "--cause", cause.value, str(RECORDING)])
    example = done.stdout.partition("\n")[2]
    if os.environ.get("GOLDEN") == "write":
        CAUSES.write_text(f"{head}{found}{before}```\n{example}```\n{after}")
    assert shown == example
    assert len(re.findall(rf"^\d\d:\d\d:[\d.]+ {cause}\b", example, re.MULTILINE)) == 1
    assert "\n## " not in before + after.partition("\n## ")[0]


def test_the_causes_come_in_their_order() -> None:
    assert re.findall(r"^## `(.*)`$", PAGES["causes.md"], re.MULTILINE) == [*map(str, Cause)]


def test_the_messages_explained_are_the_codes() -> None:
    text = PAGES["troubleshooting.md"]
    messages = re.findall(r"^\| `([^`|]+)`", text, re.MULTILINE)
    assert len(messages) > 8
    for message in messages:
        words = re.split(r"NAME|\.\.\.", message)
        assert all(word.strip(" -:") in SOURCE.replace('"\n            "', "") for word in words), (
            message
        )
