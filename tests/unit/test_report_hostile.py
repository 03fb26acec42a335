"""Hostile names reach no report, export or diff unescaped, whatever its form."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.unit.build import (
    BOX,
    MS,
    at,
    bind,
    connect,
    end,
    error,
    gram,
    header,
    miss,
    namespace,
    owners,
    sock,
    task,
)
from tests.unit.report import invoke, write
from tests.unit.test_hostile import lying_recording
from tracer.containers import Container
from tracer.events import Event, InContainer, NetnsContainers
from tracer.render.report_markdown import escape
from tracer.text import clean

NAMES = {
    "escape sequence": "\x1b[2J\x1b]0;x\x07",
    "8-bit control": "\x9b31m",
    "script": "<script>alert(1)</script>",
    "attribute": "\"' onload='alert(1)",
    "newline": "a\r\nb",
    "right to left": "nc\u202egnp.exe\u2066\u05d0",
    "invalid UTF-8": clean(b"caf\xe9".decode("utf-8", "surrogateescape")),
    "formula": '=HYPERLINK("http://x.example")',
    "minus formula": "-2+3+cmd|' /C calc'!A0",
    "at formula": "@SUM(1)",
    "plus formula": "+1",
    "markdown": "[x](http://x.example) ![](y) `z` | <b> # *bold*",
    "template": "{{ 7 * 7 }}{% raw %}",
    "entity": "&lt;script&gt;",
}

# What must not stand in any output: controls, and what reorders or hides text.
FORBIDDEN = re.compile(
    "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]"
)


def hostile(name: str) -> list[Event]:
    """An incident in which everything that has a name has this one."""
    server = sock("10.0.0.2:53", "10.0.0.9:1000", inode=5001, netns=BOX, bound=True)
    client = sock("10.0.0.1:40000", "10.0.0.2:53", inode=6001, bound=True)
    by = task(77, name)
    head = replace(
        header(),
        host=name, kernel=name, machine=name, version=name, argv=("udptrace", name),
        boot_id=name, missing=((name, name),), unproven=(name,),
    )  # fmt: skip
    container = Container(name, "a" * 64, name, name, pod=name)
    links = ((1, "lo"), (2, name))
    datagram = gram("10.0.0.1:40000", "10.0.0.2:53", ifname=name)
    missed = replace(miss(3000, datagram, server, netns=BOX), caller=name)
    return [
        head,
        namespace(0.1, BOX, name, "10.0.0.2", links=links),
        namespace(0.2, 4026531840, name, "10.0.0.1", links=links),
        NetnsContainers(at(0.3), BOX, 7, (container, replace(container, id="b" * 64))),
        InContainer(at(0.4), 77, 790_000 * MS, container),
        InContainer(at(0.4), 78, 790_000 * MS, container),
        bind(1000, replace(server, state=7, peer="0.0.0.0", pport=0), by=by),
        connect(1500, replace(server, state=7, peer="0.0.0.0", pport=0), server, by=by),
        connect(2000, replace(client, state=7, peer="0.0.0.0", pport=0), client, by=by),
        owners(2001, 5001, (77, name, 3)),
        owners(2002, 6001, (78, name, 4)),
        missed,
        error(3001, client),
        # A caller is named where netfilter sent the ICMP.
        replace(missed, time=missed.time + 10**9, proven=False, icmp_code=13, since=missed.time),
        end(9000, name),
    ]


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return write(tmp_path / "hostile", hostile(request.param))


def output(*arguments: str) -> str:
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    text = done.stdout_bytes.decode("utf-8")
    assert not FORBIDDEN.search(text), FORBIDDEN.findall(text)
    return text


def test_text(recording: str) -> None:
    assert "remote-address" in output("report", recording)
    assert "remote-address" in output("diff", recording, recording)


def test_json(recording: str) -> None:
    for arguments in (
        ("report", "-f", "json", recording),
        ("export", "--to", "json", recording),
        ("diff", "-f", "json", recording, recording),
    ):
        lines = output(*arguments).splitlines()
        assert all(json.loads(line)["schema"] == 1 for line in lines)


class Page(html.parser.HTMLParser):
    """What a page consists of."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_html(recording: str, tmp_path: Path) -> None:
    page, plain = Page(), Page()
    page.feed(output("report", "-f", "html", recording))
    plain.feed(output("report", "-f", "html", write(tmp_path / "plain", hostile("plain"))))
    # The same page but for lines of text: no element or attribute comes out of a name.
    lines = ("text", "tspan")
    assert [e for e in page.elements if e not in lines] == [
        e for e in plain.elements if e not in lines
    ]
    assert page.attributes == plain.attributes
    assert page.elements.count("script") == 1


def test_markdown(recording: str) -> None:
    text = output("report", "-f", "markdown", recording)
    markup = re.sub(r"\\.", "", "\n".join(x for x in text.splitlines() if x[:4] != "    "))
    assert not set("[]<>{}") & set(markup)
    # Words are set in code by us alone, and a row has as many cells as its head.
    for table in re.findall(r"(?:^\|.*\|\n)+", markup, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1
    assert not re.search(r"(?i)https?:", markup)


def test_csv(recording: str) -> None:
    text = output("export", "--to", "csv", recording)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) == text.count("\r\n") == 3
    assert not any(cell[:1] in tuple("=+-@\t\r") for row in rows for cell in row if cell)


def test_pcapng(recording: str) -> None:
    done = invoke("export", "--to", "pcapng", recording)
    assert done.exit_code == 0
    texts = re.findall(rb"[\x20-\x7e\x80-\xff\n]{12,}", done.stdout_bytes)
    assert any(b"remote-address" in text for text in texts)
    for text in texts:
        assert not FORBIDDEN.search(text.decode("utf-8", "replace"))
    assert b"\x1b[" not in done.stdout_bytes


def test_markdown_text_is_text() -> None:
    assert escape("1. a") == r"1\. a"
    assert escape("- a") == r"\- a"
    assert escape("10.0.0.1:53 > x") == r"10.0.0.1:53 \> x"
    assert escape("www.example") == r"www\.example"


@pytest.mark.parametrize("seed", range(40))
def test_alying_recording(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "lies"
    path.write_bytes(lying_recording(Random(seed)))
    commands = [["report", "-f", f] for f in ("text", "markdown", "json", "html")]
    commands += [["export", "--to", f] for f in ("pcapng", "csv", "json")]
    commands.append(["diff", str(path)])
    for command in commands:
        done = invoke(*command, str(path))
        assert done.exception is None or hasattr(done.exception, "exit_code"), (command, done)
        if "pcapng" not in command:
            assert not FORBIDDEN.search(done.stdout_bytes.decode("utf-8"))
