"""Live traces from the command line, with an invented kernel: streams, signals, the end."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.command import ENVIRONMENT, FAKE, failed, run, wait_until
from tests.unit.recorded import read
from tracer.events import End
from tracer.recording.reader import Reader
from tracer.render.folds import FULL


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a trace with the fake session and waits until it is ready."""
    running = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        ready = tmp_path / "ready"
        process = subprocess.Popen(
            [*FAKE, *arguments, "--ready-file", str(ready)],
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, **options.pop("env", {})},
            **options,
        )
        running.append(process)
        wait_until(lambda: ready.exists() or process.poll() is not None)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_live_without_a_subcommand(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    done = run("-f", "json", "--count", "3", "-w", str(path), command=FAKE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["header", *["incident"] * 3, "end"]
    assert json.loads(lines[-1])["reason"] == "count"
    assert run("replay", "-f", "json", str(path)).stdout == done.stdout
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("name", ["kept.jsonl", "kept.jsonl.gz"])
def test_a_replay_gives_the_same_bytes(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / name
    done = run("live", "-f", form, "--duration", "1s", "-w", str(path), command=FAKE)
    assert done.returncode == 0, done.stderr
    replayed = run("replay", "-f", form, str(path))
    assert replayed.stdout == done.stdout
    assert replayed.stdout.count("no-socket") > FULL


@pytest.mark.parametrize("command", [["live", "-f", "json"], ["record"]])
def test_a_rotated_trace_replays_as_it_was(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "kept.rec"
    bounds = ("--max-size", "64K", "--max-files", "99", "--count", "300")
    busy = {"FAKE_SESSION": "busy"}
    done = run(*command, "-w", str(path), *bounds, command=FAKE, env=busy)
    assert done.returncode == 0, done.stderr
    parts = sorted(map(str, tmp_path.iterdir()), reverse=True)
    assert str(tmp_path / "kept.rec.1") in parts
    replayed = run("replay", "-f", "json", *parts)
    assert replayed.returncode == 0
    if command[0] == "live":
        assert replayed.stdout == done.stdout
    assert replayed.stdout.count('"kind": "incident"') == 300
    assert replayed.stderr == done.stderr


def test_several_traces_are_shown_one_after_the_other(recording: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(recording.read_bytes().replace(b"edge-1", b"edge-2"))
    both = run("replay", "-f", "json", str(other), str(recording)).stdout
    one, two = (run("replay", "-f", "json", str(path)).stdout for path in (other, recording))
    assert both == one + two
    done = run("replay", str(recording), str(tmp_path / "no"))
    assert failed(done, 1) == f"{tmp_path / 'no'}: cannot be read: No such file or directory"
    assert done.stdout == ""


def test_a_flight_recorder_writes_on_a_signal_and_at_its_end(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = live("record", "--ring", "1m", "-w", str(tmp_path / "ring"))
    assert list(tmp_path.glob("ring.*")) == []
    process.send_signal(signal.SIGUSR1)
    wait_until(lambda: list(tmp_path.glob("ring.*.0001")))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    first, second = sorted(tmp_path.glob("ring.*"))
    for path, reason in ((first, "signal"), (second, "terminated")):
        with Reader(str(path)) as reader:
            *_, last = reader
            assert reader.problems() == []
        assert isinstance(last, End)
        assert last.reason == reason
        assert f"udptrace: {path}: written (" in errors
    assert run("replay", str(first), str(second)).returncode == 0


def test_a_flight_recorder_writes_when_an_incident_happens(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = live("record", "--ring", "1m", "--trigger", "no-socket", "-w", str(tmp_path / "r.gz"))
    wait_until(lambda: list(tmp_path.glob("r.*.0001.gz")))
    assert process.poll() is None
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert "written (incident: no-socket): " in errors
    first, _ = sorted(tmp_path.glob("r.*"))
    assert run("replay", "-f", "json", str(first)).stdout.count('"incident"') > 20


def test_a_flight_recorder_costs_received_datagrams_nothing() -> None:
    from tracer.cli.tracing import wants_lookups

    assert [wants_lookups(None, ring) for ring in (None, 1)] == [True, False]
    assert [wants_lookups("on", ring) for ring in (None, 1)] == [True, True]
    assert not wants_lookups("off", None)


def test_record_prints_nothing_but_its_summary(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    done = run("record", "-w", str(path), "--count", "2", command=FAKE)
    assert (done.returncode, done.stdout) == (0, "")
    assert "2 probes proven, nothing lost" in done.stderr
    assert run("replay", "-f", "json", str(path)).stdout.count('"incident"') == 2


def test_record_to_standard_output(tmp_path: Path) -> None:
    done = run("record", "-w", "-", "--count", "2", command=FAKE)
    assert done.returncode == 0
    path = tmp_path / "kept.jsonl"
    path.write_text(done.stdout)
    with Reader(str(path)) as reader:
        assert len(list(reader)) > 3
        assert reader.problems() == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "terminated"),
    ],
)
def test_a_signal_ends_it_with_the_summary(
    live: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    number: signal.Signals,
    reason: str,
) -> None:
    path = tmp_path / "kept.gz"
    process = live("-f", "json", "-w", str(path), env={"FAKE_SESSION": "silent"})
    process.send_signal(number)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["reason"] == reason
    assert "0 misses in 0 incidents" in errors
    last = read(path)[-1]
    assert isinstance(last, End)
    assert last.reason == reason


def test_memory_runs_out(tmp_path: Path) -> None:
    """What was recorded until then is kept, and ends with the reason."""
    path = tmp_path / "kept.jsonl"
    done = run("record", "-w", str(path), command=FAKE, env={"FAKE_SESSION": "exhausted"})
    assert failed(done, 1).startswith("out of memory: see `ulimit -v`")
    last = read(path)[-1]
    assert isinstance(last, End)
    assert last.reason == "failed: MemoryError"


def test_nobody_reads_what_it_says(live: Callable[..., subprocess.Popen[str]]) -> None:
    """A pipe, or a terminal that is gone: the exit code is that of the trace."""
    process = live("-f", "json", env={"FAKE_SESSION": "silent"})
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_terminal_that_is_gone_is_a_reader_that_has_enough(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Without the signal, as under nohup and setsid; a disk's error would be told."""
    path = tmp_path / "kept.jsonl"
    terminal, child = pty.openpty()
    process = live("-w", str(path), stdout=child)
    os.close(child)
    os.close(terminal)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    last = read(path)[-1]
    assert isinstance(last, End)
    assert last.reason == "output closed"


def test_an_ignored_hangup_stays_ignored(live: Callable[..., subprocess.Popen[str]]) -> None:
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    process = live(preexec_fn=ignore)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None


def test_incidents_are_seen_at_once(live: Callable[..., subprocess.Popen[str]]) -> None:
    process = live("-f", "json")
    assert process.stdout is not None
    kinds = [json.loads(process.stdout.readline())["kind"] for _ in range(4)]
    assert kinds == ["header", "incident", "incident", "incident"]


def _stop_reading(process: subprocess.Popen[str]) -> None:
    """Read a line, and close the pipe."""
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None


@pytest.mark.parametrize("session", ["silent", "busy"])
@pytest.mark.parametrize("command", [("live",), ("states",), ("top", "--interval", "1")])
def test_a_live_reader_that_has_enough_ends_it(
    live: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    command: tuple[str, ...],
    session: str,
) -> None:
    """Whether there is more to show or not."""
    process = live(*command, "-f", "json", env={"FAKE_SESSION": session})
    _stop_reading(process)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "rror" not in errors


def test_what_was_seen_when_the_reader_had_enough_is_in_the_recording_and_the_summary(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / "kept.jsonl"
    process = live("-f", "json", "-w", str(path), env={"FAKE_SESSION": "busy"})
    _stop_reading(process)
    _, errors = process.communicate(timeout=30)
    last = read(path)[-1]
    assert isinstance(last, End)
    assert last.reason == "output closed"
    assert errors == run("replay", str(path)).stderr


def test_a_mere_recording_has_no_reader_to_lose(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / "kept.jsonl"
    process = live("record", "-w", str(path))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    wait_until(lambda: len(path.read_bytes().splitlines()) > 100)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    last = read(path)[-1]
    assert isinstance(last, End)
    assert last.reason == "interrupted"


def test_a_killed_trace_loses_a_second_at_most(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / "kept.jsonl.gz"
    process = live("record", "-w", str(path))
    time.sleep(2)
    process.kill()
    killed = time.monotonic_ns()
    with Reader(str(path)) as reader:
        events = list(reader)
        assert any("no end record" in problem for problem in reader.problems())
    assert killed - events[-1].time < 1_200_000_000
    assert run("replay", str(path)).returncode == 0


def test_a_full_disk_under_the_recording_only() -> None:
    done = run("-f", "json", "--duration", "2", "-w", "/dev/full", command=FAKE)
    assert done.returncode == 1
    assert done.stdout.count('"incident"') > 20
    # A machine with very many sockets has a summary of more than one line.
    first, *summary, last = done.stderr.splitlines()
    assert first == (
        "udptrace: /dev/full: cannot be written: No space left on device;"
        " the trace goes on without its recording"
    )
    assert "misses" in " ".join(summary)
    assert last == "udptrace: /dev/full: the recording is not complete"


def test_a_limit_to_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    """Its signal ends nothing."""
    path = str(tmp_path / "kept.jsonl")
    done = run(
        *("-f", "json", "--duration", "2", "-w", path),
        command=FAKE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 1
    assert done.stdout.count('"incident"') > 20
    assert "File too large; the trace goes on without its recording" in done.stderr


def test_a_full_disk_ends_a_mere_recording() -> None:
    done = run("record", "--duration", "30", "-w", "/dev/full", command=FAKE)
    assert failed(done, 1) == "/dev/full: cannot be written: No space left on device"


def test_a_session_that_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    path, ready = tmp_path / "kept", tmp_path / "ready"
    ready.touch()
    done = run(
        *("-w", str(path), "--ready-file", str(ready)),
        command=FAKE,
        env={"FAKE_SESSION": "broken"},
    )
    assert failed(done, 1) == (
        "this kernel has no kprobes: boot another one;"
        " `udptrace doctor` says what else is in the way"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_remedy_of_our_own_is_enough() -> None:
    done = run(command=FAKE, env={"FAKE_SESSION": "unprivileged"})
    assert failed(done, 1) == "loading probes needs root: sudo udptrace"


def test_what_a_bounded_process_lacks_is_said_once_at_the_start() -> None:
    done = run("--duration", "0.1", command=FAKE, env={"FAKE_SESSION": "bounded"})
    assert done.stderr.splitlines()[0] == "udptrace: without CAP_X: something is not known"
    assert done.stderr.count("CAP_X") == 1
