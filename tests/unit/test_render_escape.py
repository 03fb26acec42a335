"""What text from outside may do to a terminal: nothing."""

from __future__ import annotations

import pytest

from tracer.render.escape import NAME_LIMIT, line, name, width
from tracer.render.wrap import wrap


@pytest.mark.parametrize(
    ("raw", "printed"),
    [
        ("nc", "nc"),
        ("kworker/0:1", "kworker/0:1"),
        ("systemd-resolve", "systemd-resolve"),
        ("tmux: server", '"tmux: server"'),
        ("nc[1] fd 3", '"nc[1] fd 3"'),
        ("", '""'),
        ('a"b', '"a\\"b"'),
        ("a\\x1b", '"a\\\\x1b"'),
        ("\x1b[31mred", '"\\x1b[31mred"'),
        ("two\nlines\r\t", '"two\\x0alines\\x0d\\x09"'),
        ("\x7f\x80\x9b", '"\\x7f\\x80\\x9b"'),
        ("\u202egpj.exe", '"\\u{202e}gpj.exe"'),
        ("\u2066a\u2069", '"\\u{2066}a\\u{2069}"'),
        ("\u200e\u200f\u200b\u200d\ufeff", '"\\u{200e}\\u{200f}\\u{200b}\\u{200d}\\u{feff}"'),
        ("\u2028\u2029\u0085\u00a0", '"\\u{2028}\\u{2029}\\x85\\xa0"'),
        ("\udcff\udc80", '"\\xff\\x80"'),
        ("\ud800", '"\\u{d800}"'),
        ("z\u0300\u0301", '"z\\u{300}\\u{301}"'),
        ("\u05d0\u0627", '"\\u{5d0}\\u{627}"'),
        ("\U000e0041", '"\\u{e0041}"'),
        ("网络", '"网络"'),
        ("é", '"é"'),
    ],
)
def test_names(raw: str, printed: str) -> None:
    assert name(raw) == printed


def test_names_are_bounded() -> None:
    for raw in ("a" * 1000, "\x1b" * 1000, "\\" * 1000, "网" * 1000):
        printed = name(raw)
        assert len(printed) <= NAME_LIMIT + 2
        assert printed.endswith('..."')


def test_a_line_keeps_its_quotes_and_backslashes() -> None:
    assert line('a "b\\x1b" c') == 'a "b\\x1b" c'
    assert line("a\x1b") == "a\\x1b"


def test_width_counts_wide_characters_twice() -> None:
    assert width("nc") == 2
    assert width("网络") == 4
    assert width("é") == 2  # ambiguous: may be wide in an East Asian terminal
    assert width("ж") == 2


def test_wrap_breaks_at_words_and_cuts_what_is_wider_than_a_line() -> None:
    assert list(wrap("aa bb cc", "> ", "  ", 7)) == ["> aa bb", "  cc"]
    assert list(wrap("aaaaaaaaaa b", "> ", "  ", 6)) == ["> aaaa", "  aaaa", "  aa b"]
    assert list(wrap("", "> ", "  ", 6)) == [">"]
    assert list(wrap("网网网 b", "", " ", 5)) == ["网网", " 网 b"]


def test_wrap_keeps_together_what_is_marked() -> None:
    assert list(wrap("aaaa b\u00a0c", "", "  ", 6)) == ["aaaa", "  b c"]
