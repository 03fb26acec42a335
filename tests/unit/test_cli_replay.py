"""Recordings from the command line: what is shown, where, and what is wrong with them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.samples import EVENTS
from tests.unit import scenes
from tests.unit.build import BOX, at
from tests.unit.command import ENVIRONMENT, REAL, ROOT, failed, run
from tracer.containers import Container
from tracer.events import Call, NetnsContainers
from tracer.parts import container_json
from tracer.recording import codec

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
