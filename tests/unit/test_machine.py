"""This machine's look-ups where the process has run out of something: said once, and no failure."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tracer.system.machine import ThisMachine
from tracer.system.netns import Netns

OWN = Netns(os.stat("/proc/self/ns/net").st_ino, None, "/proc/self/ns/net")


@contextmanager
def _no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_more_files() -> None:
    said: list[str] = []
    machine = ThisMachine(say=said.append)
    with closing(machine.containers):
        with _no_more_files():
            assert machine.counters(OWN) is None
            assert machine.netns(OWN.inum, ()) is None
            assert machine.netns(1, ()) is None
            assert machine.port_range(OWN.inum, [os.getpid()]) is None
        assert said == [
            "Too many open files: names, owners and counters are not looked up for want of it; "
            "raise the limit (ulimit -n)"
        ]
        assert machine.counters(OWN) is not None
        assert machine.netns(OWN.inum, ()) is not None


def test_what_is_gone_is_no_shortage() -> None:
    said: list[str] = []
    machine = ThisMachine(say=said.append)
    with closing(machine.containers):
        assert machine.netns(1, ()) is None
        assert machine.counters(Netns(1, None, "/no/such/path")) is None
    assert said == []


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    machine = ThisMachine(say=said.append)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with closing(machine.containers):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert machine.counters(OWN) is None
        monkeypatch.undo()
    (line,) = said
    assert line.startswith("can't start new thread: names, owners and counters are not looked up")
    assert "ulimit -u" in line
