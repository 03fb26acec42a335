"""A udptrace process under test: its JSON stream, read as it comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

# Emulation on shared cores is slow and uneven: waits end when the thing happens, this only bounds
# a failure.
DEADLINE_S = 300.0

SETTLE = "1s"

Json = dict[str, Any]


def run(*arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """Run udptrace to its end."""
    return subprocess.run(
        ["udptrace", *arguments], capture_output=True, text=True, timeout=DEADLINE_S, **kwargs
    )


class Live:
    """`udptrace live -f json` in the background, ready when the constructor returns.

    ``before`` is a command that runs it. Its recording is replayed once it has ended:
    `check_replays`.
    """

    unchecked: ClassVar[list[Live]] = []
    command: ClassVar[str] = "live"
    replayed_by: ClassVar[str] = "replay"

    def __init__(self, directory: Path, *arguments: str, before: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.recording = directory / "recording"
        self.lines: list[bytes] = []
        Live.unchecked.append(self)
        self._incidents: dict[str, Json] = {}
        self._lock = threading.Lock()
        ready = directory / "ready"
        self._errors = directory / "stderr"
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*before, "udptrace", self.command, "-f", "json", "-w", str(self.recording), "-v",
                 # Under emulation what belongs to a miss can be long in coming.
                 "--settle", SETTLE,
                 "--ready-file", str(ready), *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for(lambda: ready.exists() or self.process.poll() is not None, "the ready file")
        assert self.process.poll() is None, self.stderr()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            value = json.loads(line)
            with self._lock:
                self.lines.append(line)
                if value["kind"] == "incident":
                    self._incidents[value["id"]] = value

    def parts(self) -> list[Path]:
        """The files of its recording: more than one with --max-size."""
        return sorted(self.recording.parent.glob("recording*"))

    def incidents(self, **wanted: Any) -> list[Json]:
        """The latest state of each incident whose datagram, cause... have these values."""
        with self._lock:
            return [i for i in self._incidents.values() if _matches(i, wanted)]

    def incident(self, count: int = 1, **wanted: Any) -> Json:
        """Wait for the one incident with these values and at least this count."""
        wait_for(
            lambda: any(i["count"] >= count for i in self.incidents(**wanted)),
            lambda: f"an incident {wanted} (count {count}); there are {self.incidents()}",
        )
        found = self.incidents(**wanted)
        assert len(found) == 1, found
        return found[0]

    def lives(self, name: str) -> list[tuple[str, str]]:
        """What was told so far of the containers that a word of -c means: (state, id), in order."""
        with self._lock:
            told = [json.loads(line) for line in self.lines]
        targets = (line for line in told if line["kind"] == "target" and line["name"] == name)
        return [(target["state"], target["container"]["id"]) for target in targets]

    def stderr(self) -> str:
        """What it printed on standard error so far."""
        return self._errors.read_text(errors="replace")

    def resident_mb(self) -> float:
        """Its resident memory now, in 10^6 bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self, number: int = signal.SIGINT) -> bytes:
        """End it as Ctrl-C does; returns all of standard output."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return b"".join(self.lines)


class States(Live):
    """`udptrace states -f json`, the same way."""

    command = "states"
    replayed_by = "states"

    def transitions(self, **wanted: Any) -> list[Json]:
        """The transitions shown so far with these values, in their order."""
        with self._lock:
            told = [json.loads(line) for line in self.lines]
        lines = [line for line in told if line["kind"] == "transition"]
        return [t for t in lines if all(t[name] == value for name, value in wanted.items())]


def check_replays() -> None:
    """Replay every trace that has ended since the last time: the same bytes as it printed live.

    One whose recording could not be written has said so, and ended with 1.
    """
    ended = [trace for trace in Live.unchecked if trace.process.poll() is not None]
    Live.unchecked[:] = [trace for trace in Live.unchecked if trace not in ended]
    for trace in ended:
        if trace.process.returncode == 0:
            replayed = run(trace.replayed_by, "-f", "json", *map(str, trace.parts()))
            assert replayed.returncode == 0, replayed.stderr
            assert replayed.stdout.encode() == trace.stop()


def _matches(incident: Json, wanted: dict[str, Any]) -> bool:
    flat = {**incident["datagram"], **{k: v for k, v in incident.items() if k != "datagram"}}
    return all(flat[name] == value for name, value in wanted.items())


def lost(trace: Live) -> dict[str, int]:
    """What the stream's loss lines say was lost so far, by the names of `tracer.events.LOSSES`."""
    found: dict[str, int] = {}
    for value in map(json.loads, list(trace.lines)):
        if value["kind"] == "loss":
            found[value["what"]] = found.get(value["what"], 0) + value["count"]
    return found


def checks(incident: Json) -> list[Json]:
    """The checks that failed, without what set each value (tests/kernel/test_provenance.py)."""
    return [{k: v for k, v in check.items() if k != "set_by"} for check in incident["mismatch"]]


def wait_for(holds: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Poll until it holds; fails the test after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)


def netns_inode(path: str) -> int:
    """The inode number of a namespace file."""
    return os.stat(path).st_ino
