"""Small things that turn values into words, and words into values."""

from __future__ import annotations

import click
import pytest

from tests.unit.build import counters
from tests.unit.test_silence import parts
from tracer.cli.options import duration_ns
from tracer.cli.streams import printable
from tracer.silence import NetnsSilence
from tracer.summary import status_line
from tracer.text import clean
from tracer.totals import Stats

S = 1_000_000_000


def _stats(
    *parts: NetnsSilence, misses: int = 0, incidents: int = 0, sockets: int = 41, probes: int = 3
) -> Stats:
    return Stats(0, misses, incidents, sockets, probes, losses={}, forgotten={}, silence=parts)


def test_the_status_line() -> None:
    assert status_line(_stats(), 30 * S) == "30 s: 0 misses, 41 sockets, 3 probes proven"
    busy = _stats(misses=1, incidents=1, sockets=1, probes=1)
    assert status_line(busy, S) == "1 s: 1 miss in 1 incident, 1 socket, 1 probe proven"
    silent = parts(counters(1, UdpInErrors=5), counters(2, UdpInErrors=9))
    line = "30 s: 0 misses, 41 sockets, 3 probes proven, 4 died silently"
    assert status_line(_stats(*silent), 30 * S) == line


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("30", 30 * S),
        ("30s", 30 * S),
        (" 1.5 S ", 3 * S // 2),
        ("250ms", S // 4),
        ("5m", 300 * S),
        ("5min", 300 * S),
        ("1h", 3600 * S),
        ("2d", 172_800 * S),
    ],
)
def test_durations(text: str, ns: int) -> None:
    context = click.Context(click.Command("x"))
    assert duration_ns(context, click.Option(["--x"]), text) == ns


@pytest.mark.parametrize("text", ["", "0", "-1", "1e9", "nan", "inf", "5 x", "9" * 30, "\u0663"])
def test_no_durations(text: str) -> None:
    context = click.Context(click.Command("x"))
    with pytest.raises(click.BadParameter):
        duration_ns(context, click.Option(["--x"]), text)


def test_messages_cannot_move_the_cursor() -> None:
    assert printable("plain caf\u00e9") == "plain caf\u00e9"
    assert printable("a\x1b[2Jb\nc\u202ed\udcff") == "a\\x1b[2Jb\\nc\\u202ed\\udcff"


def test_names_that_are_no_text() -> None:
    assert clean("caf\u00e9") == "caf\u00e9"
    assert clean(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"
