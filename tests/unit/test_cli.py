"""The command line from outside: one line for each failure, exit codes, streams, signals."""

from __future__ import annotations

import ctypes
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.samples import EVENTS
from tests.unit import scenes
from tests.unit.build import BOX, at
from tests.unit.recorded import read
from tracer import __version__
from tracer.cli.main import COMMANDS
from tracer.containers import Container
from tracer.events import Call, End, NetnsContainers
from tracer.incident import SCHEMA, container_json
from tracer.recording import codec
from tracer.recording.reader import Reader
from tracer.render.folds import FULL

ROOT = Path(__file__).resolve().parents[2]
REAL = (sys.executable, "-m", "tracer")
FAKE = (sys.executable, "-m", "tests.unit.fake_udptrace")
_PR_CAPBSET_DROP = 24  # include/uapi/linux/prctl.h
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": ""}


def run(
    *arguments: str, command: tuple[str, ...] = REAL, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    environment = {**ENVIRONMENT, **options.pop("env", {})}
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(
        [*command, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
        timeout=60,
        **options,
    )


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line with which it failed, without the program's name."""
    assert done.returncode == code, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("udptrace: ")
    return line.removeprefix("udptrace: ")


def wait_until(true: Callable[[], object]) -> None:
    """Wait for something that must become true."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The seed's incident, run B."""
    path = tmp_path / "seed.jsonl"
    path.write_bytes(b"".join(map(codec.encode, scenes.run_b())))
    return path


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


# Help and usage


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(command: list[str], option: str) -> None:
    done = run(*command, option)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: udptrace")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""


def test_every_option_has_help() -> None:
    from click import Context, Option

    from tracer.cli.main import udptrace

    group: Any = udptrace
    for name in COMMANDS:
        command = group.get_command(Context(group), name)
        assert command.help
        for param in command.params:
            assert not isinstance(param, Option) or param.help, f"{name} {param.opts}"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["foo"], "No such command 'foo'; see `udptrace --help`"),
        (["--foo"], "see `udptrace live --help`"),
        (["-f", "xml"], "'xml' is not one of 'text', 'json'; see `udptrace live --help`"),
        (["live", "--count", "0"], "0 is not in the range x>=1"),
        (["live", "--duration", "5 parsecs"], "'5 parsecs' is not a duration such as 30, 30s"),
        (["live", "--duration", "0"], "'0' is not between 0 and 100 years"),
        (["live", "-p", "-1"], "-1 is not in the range"),
        (["live", "-p", "2147483647"], "-p 2147483647: there is no such process"),
        (["-N", "no-such"], "-N no-such: no network namespace of this name in /run/netns"),
        (["-w", "-"], "-w -: standard output has the incidents already"),
        (["record"], "Missing option '-w' / '--write'; see `udptrace record --help`"),
        (["-w", "x", "--max-size", "10"], "'10' is less than 64K; see `udptrace live --help`"),
        (["-w", "x", "--max-size", "1e9"], "'1e9' is not a size such as 512K, 10M or 1G"),
        (["--max-size", "1M"], "--max-size: name a file to write with -w FILE"),
        (["record", "-w", "-", "--max-size", "1M"], "--max-size: name a file to write with -w"),
        (["record", "-w", "-", "--ring", "1m"], "--ring: name a file to write with -w FILE"),
        (["-w", "x", "--max-files", "2"], "--max-files: of what size? add --max-size SIZE"),
        (
            ["record", "-w", "x", "--trigger", "any"],
            "--trigger: there is nothing to write without --ring",
        ),
        (["record", "-w", "x", "--trigger", "bad"], "'bad' is not one of"),
        (["replay", "-", "x"], "-: standard input cannot be joined with files; name it alone"),
        (["replay"], "Missing argument 'FILE...'; see `udptrace replay --help`"),
        (["-N", "x", "replay", "f"], "unexpected extra arguments (replay f)"),
    ],
)
def test_usage_errors(arguments: list[str], why: str) -> None:
    done = run(*arguments)
    assert why in failed(done, 2)
    assert done.stdout == ""


def test_version() -> None:
    said = f"udptrace {__version__} (recording format {codec.FORMAT}, JSON schema {SCHEMA})\n"
    assert run("--version").stdout == said


# Replay


def test_replay_shows_the_incidents(recording: Path) -> None:
    done = run("replay", str(recording))
    assert done.returncode == 0
    assert "remote-address" in done.stdout
    assert "closed" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == (
        "50 s: 2 misses in 2 incidents, 0 sockets, 4 probes proven, nothing lost\n"
    )


def test_replay_as_json_is_one_object_a_line(recording: Path) -> None:
    done = run("replay", "-f", "json", str(recording))
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds[0] == "header"
    assert kinds[-1] == "end"
    assert set(kinds[1:-1]) == {"incident"}


def test_replay_of_standard_input(recording: Path) -> None:
    with recording.open("rb") as file:
        done = run("replay", "-f", "json", "-", stdin=file)
    assert done.stdout == run("replay", "-f", "json", str(recording)).stdout


def test_replay_of_another_namespace(recording: Path) -> None:
    whole = run("replay", "-f", "json", str(recording)).stdout
    everything = run("replay", "-f", "json", "-N", "all", str(recording)).stdout
    assert everything == whole
    box = run("replay", "-N", "box", str(recording)).stdout
    assert "only what concerns box" in box
    done = run("replay", "-N", "bx", str(recording))
    assert failed(done, 2) == (
        "-N bx: no network namespace of this name or number in the recording (there are: box, host)"
    )


def test_replay_of_a_process_or_a_container(recording: Path) -> None:
    box = run("replay", "-f", "json", "-N", "box", str(recording)).stdout.splitlines()[1:]
    web = Container("docker", "3f2a" * 16, "web", None)
    there = NetnsContainers(at(1), BOX, 7, (web,))
    raw = recording.read_bytes().splitlines(keepends=True)
    recording.write_bytes(b"".join([raw[0], codec.encode(there), *raw[1:]]))
    for target in (["-c", "web"], ["-c", "3f2a"], ["-N", "box"]):
        done = run("replay", "-f", "json", *target, str(recording))
        shown = done.stdout.replace(json.dumps(container_json(web)), "null")
        assert len(shown.splitlines()) - 1 == len(box) > 1, (target, done.stderr)
    pid = next(e.task.pid for e in scenes.run_b() if isinstance(e, Call) and e.after.netns == BOX)
    assert len(run("replay", "-p", str(pid), str(recording)).stdout) > 100
    message = failed(run("replay", "-c", "we", str(recording)), 2)
    assert message == "-c we: no such container in the recording (there are: web)"
    assert "no socket of this process" in failed(run("replay", "-p", "1", str(recording)), 2)


def test_replay_with_other_filters(recording: Path) -> None:
    done = run("replay", "-f", "json", "--cause", "closed", str(recording))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["cause"] for line in lines if line["kind"] == "incident"} == {"closed"}
    done = run("replay", "--host", "10.0.0.1/8", str(recording))
    assert "has host bits set" in failed(done, 2)


# Reports


def test_a_long_reading_shows_progress_on_a_terminal_only(recording: Path) -> None:
    for arguments in (["report"], ["export", "--to", "json"], ["diff", str(recording)]):
        terminal, child = pty.openpty()
        done = subprocess.run(
            [*REAL, *arguments, str(recording)],
            stdout=subprocess.PIPE,
            stderr=child,
            env=ENVIRONMENT,
            check=True,
        )
        os.close(child)
        assert b"reading  [" in os.read(terminal, 65536)
        os.close(terminal)
        assert b"reading  [" not in done.stdout
        assert run(*arguments, str(recording)).stderr == ""


def test_a_page_without_jinja(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise ImportError\n")
    path = f"{tmp_path}:{ROOT}"
    done = run("report", "-f", "html", str(recording), env={"PYTHONPATH": path})
    assert failed(done, 1) == "--format html: needs Jinja: apt-get install python3-jinja2"
    assert run("report", str(recording), env={"PYTHONPATH": path}).returncode == 0


def test_standard_input_is_not_reported_on(recording: Path) -> None:
    with recording.open("rb") as file:
        done = run("report", "-", stdin=file)
    assert failed(done, 2).startswith("-: standard input cannot be read twice")


def test_a_capture_does_not_go_to_a_terminal(recording: Path) -> None:
    terminal, child = pty.openpty()
    done = run("export", "--to", "pcapng", str(recording), stdout=child)
    os.close(child)
    os.close(terminal)
    assert failed(done, 2) == "--to pcapng: not to a terminal; add -o FILE"


def test_a_diff_that_finds_more_ends_with_3(recording: Path, tmp_path: Path) -> None:
    quiet = tmp_path / "quiet"
    quiet.write_bytes(codec.encode(scenes.run_b()[0]))
    done = run("diff", str(quiet), str(recording))
    assert failed(done, 3) == "diff found more: 2 new groups, 0 at a higher rate"
    assert "\nNew\n" in done.stdout
    assert run("diff", str(recording), str(quiet)).returncode == 0


def test_a_report_to_a_closed_pipe_ends_quietly(recording: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run("report", str(recording), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    reader, writer = os.pipe()
    os.close(reader)
    done = run("export", "--to", "pcapng", str(recording), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_direction_needs_a_target() -> None:
    message = failed(run("live", "--direction", "in"), 2)
    assert message == "--direction in: of what? add -c, -N or -p"


def test_waiting_needs_a_container() -> None:
    assert failed(run("live", "--wait"), 2) == "--wait: for what? add -c NAME"


def test_an_unknown_container_says_where_it_was_looked_for() -> None:
    message = failed(run("live", "-c", "no such container"), 2)
    assert message.startswith("-c no such container: no container of this name or id; looked at ")
    assert "docker: " in message
    assert "crictl: " in message


def test_replay_reports_damage_and_goes_on(recording: Path) -> None:
    raw = recording.read_bytes()
    recording.write_bytes(raw[: len(raw) - 20])
    done = run("replay", str(recording))
    assert done.returncode == 0
    assert "remote-address" in done.stdout
    assert "cut off" in done.stderr
    assert "no end record" in done.stderr


def test_replay_of_what_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("hello\n")
    assert failed(run("replay", str(path)), 1) == f"{path}: not a recording of udptrace"
    assert failed(run("replay", str(tmp_path)), 1).endswith("Is a directory")
    assert failed(run("replay", str(tmp_path / "no")), 1).endswith("No such file or directory")


def test_replay_of_every_kind_of_event(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_bytes(b"".join(map(codec.encode, EVENTS)))
    assert run("replay", str(path)).returncode == 0
    assert run("replay", "-f", "json", str(path)).returncode == 0


@pytest.mark.parametrize(
    ("choice", "no_color", "colored"),
    [("auto", "", True), ("auto", "1", False), ("always", "1", True), ("never", "", False)],
)
def test_colour_on_a_terminal(recording: Path, choice: str, no_color: str, colored: bool) -> None:
    ours, theirs = pty.openpty()
    try:
        done = run(
            "replay", "--color", choice, str(recording), stdout=theirs, env={"NO_COLOR": no_color}
        )
        seen = os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert (b"\x1b[" in seen) is colored


def test_a_full_disk_under_standard_output(recording: Path) -> None:
    with open("/dev/full", "w") as full:
        done = run("replay", str(recording), stdout=full)
        assert failed(done, 1) == "standard output: No space left on device"
        assert "No space left on device" in failed(run("--help", stdout=full), 1)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_do_no_harm(recording: Path, redirection: str) -> None:
    shell = f"{sys.executable} -m tracer replay {recording} {redirection}"
    done = run(command=("sh", "-c", shell))
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough(recording: Path) -> None:
    shell = f"for i in 1 2 3 4; do cat {recording}; done > {recording}.4; "
    shell += f"{sys.executable} -m tracer replay -f json {recording} | head -n 1"
    done = run(command=("sh", "-c", shell))
    assert done.stdout.count("\n") == 1
    assert "rror" not in done.stderr


def test_a_locale_that_cannot_show_a_name(recording: Path) -> None:
    done = run("replay", str(recording), env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 0


# Live and record, with an invented kernel


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


# Doctor, on whatever machine this is


def _no_capabilities() -> None:
    """Takes from a root that runs the tests what makes it root; nothing from another user."""
    libc = ctypes.CDLL(None)
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_doctor_without_root_says_what_can_be_said() -> None:
    done = run("doctor", preexec_fn=_no_capabilities)
    assert "needs CAP_BPF, attaching them needs CAP_PERFMON: " in failed(done, 1)
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("a live trace would not start; ")
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if line[0] != " "} >= {"ok", "broken", "unknown"}
    assert "not tried: capabilities are missing" in done.stdout
    assert "\x1b" not in done.stdout


def test_doctor_as_json_says_the_same_as_its_exit_code() -> None:
    done = run("doctor", "-f", "json")
    *findings, conclusion = map(json.loads, done.stdout.splitlines())
    assert {finding["kind"] for finding in findings} == {"finding"}
    assert {finding["status"] for finding in findings} <= {"ok", "degraded", "broken", None}
    assert conclusion["kind"] == "doctor"
    assert conclusion["starts"] is (done.returncode == 0)
    assert conclusion["starts"] is (conclusion["broken"] == 0)
    if done.returncode:
        assert failed(done, 1) == conclusion["reason"]


def test_verbose_tells_the_phases() -> None:
    done = run("--verbose", "--duration", "0.1", command=FAKE)
    for words in ("compile: 0.25 s", "ended: 119 MB", "probes: connect, icmp", "ready after"):
        assert words in done.stderr
    assert re.search(r", peak memory \d\d+ MB$", done.stderr, re.MULTILINE)
    assert "without autobind: no such symbol" in done.stderr


def test_an_internal_error_is_one_line_or_a_traceback() -> None:
    code = (
        "import sys, tracer.cli.replay as r\n"
        "def boom(options): raise RuntimeError('two\\nlines')\n"
        "r.replay = boom\n"
        "from tracer.cli.main import main\n"
        "main(['replay', 'x'])"
    )
    command = (sys.executable, "-c", code)
    assert failed(run(command=command), 1) == (
        "internal error: RuntimeError: two lines; run with UDPTRACE_DEBUG=1 for the traceback"
    )
    assert "Traceback" in run(command=command, env={"UDPTRACE_DEBUG": "1"}).stderr
