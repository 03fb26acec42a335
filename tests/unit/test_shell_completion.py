"""What shells are offered: by the command, and through the scripts that are installed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.command import wait_until
from tests.unit.test_packaging import FORBID_BCC
from tracer.cli import completion
from tracer.cli.main import COMMANDS, main
from tracer.containers import Container
from tracer.manual.completions import FILES, completion_scripts
from tracer.system import netns
from tracer.system.containers import engines
from tracer.system.containers.found import Found

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[[str], list[str]]
HOSTILE = ["$(reboot)", "`id`", "-rf", "a b", "a;b", "a\nb", "*", "caf\u00e9", "'", "x,y"]


def offered(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """The words for the last one of a line, without their types."""
    monkeypatch.setenv(completion.VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.split()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A line, its last word incomplete -> what is offered for that."""
    return lambda line: offered(line, monkeypatch, capsys)


def test_subcommands(ask: Ask) -> None:
    assert ask("udptrace ") == [f"plain,{name}" for name in COMMANDS]
    assert ask("udptrace re") == ["plain,record", "plain,replay", "plain,report"]


def test_options_with_and_without_a_subcommand(ask: Ask) -> None:
    assert ask("udptrace --ver") == ["plain,--version", "plain,--verbose"]
    assert ask("udptrace report --to") == ["plain,--top"]
    assert "plain,closed" in ask("udptrace --cause ")
    assert ask("udptrace replay -f t") == ["plain,text"]


def test_lists_of_words(ask: Ask) -> None:
    """Before a comma and after it, but none twice."""
    assert ask("udptrace states --what b") == ["plain,bound"]
    after = ask("udptrace states --what bound,connected,")
    assert "plain,bound,connected,closed" in after
    assert not any("bound" in word.split(",")[3:] for word in after)
    assert ask("udptrace sockets --columns local,pe") == ["plain,local,peer"]
    assert ask("udptrace sockets --columns nonsense,x") == []


def test_files(ask: Ask) -> None:
    for line in ("replay ", "report x -o ", "export ", "diff a ", "states ", "record -w ", "-w "):
        assert ask(f"udptrace {line}") == ["file,"], line


def test_namespaces_whose_names_mean_nothing_to_a_shell(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netns, "netns_names", lambda: ["web", "web-2", "dns", *HOSTILE])
    assert ask("udptrace -N ") == [
        f"plain,{name}" for name in ("all", "dns", "host", "web", "web-2")
    ]
    assert ask("udptrace sockets --netns w") == ["plain,web", "plain,web-2"]


def test_containers_whose_names_mean_nothing_to_a_shell(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, pid: int, pod: str | None = None) -> Found:
        return Found(Container("docker", name, name, None, pod), pid, "", 2**40)

    class Invented:
        def all(self) -> list[Found]:
            every = [found("web", os.getpid()), found("gone", 0)]
            every += [found("app", os.getpid(), "shop/cart-0")]
            return every + [found(name, os.getpid()) for name in HOSTILE]

    monkeypatch.setattr(engines, "Engines", Invented)
    assert ask("udptrace -c ") == ["plain,shop/cart-0", "plain,web"]
    assert ask("udptrace top --container w") == ["plain,web"]


def test_this_machines_names_are_not_a_recordings(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netns, "netns_names", lambda: ["web"])
    assert ask("udptrace replay x -N ") == ["plain,all", "plain,host"]
    assert ask("udptrace states x -N ") == ["plain,all", "plain,host"]
    assert ask("udptrace states -N ") == ["plain,all", "plain,host", "plain,web"]
    assert ask("udptrace report x -c ") == []


@pytest.mark.parametrize("word", ["", "99", "x"])
def test_a_completion_never_fails_aloud(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without BCC, and whatever the shell says."""
    code = f"{FORBID_BCC}\nfrom tracer.cli.main import main\nmain()"
    environment = {
        completion.VARIABLE: "bash_complete",
        "COMP_WORDS": "udptrace -c ",
        "COMP_CWORD": word,
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A directory with the scripts, and with the command itself."""
    for name, text in completion_scripts():
        (tmp_path / name).write_text(text)
    command = tmp_path / "udptrace"
    command.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{ROOT}"\nexec {sys.executable} -m tracer "$@"\n'
    )
    command.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        (
            "bash",
            '. ./udptrace.bash; COMP_WORDS=(udptrace do); COMP_CWORD=1; COMP_LINE="udptrace do"\n'
            "_udptrace_completion udptrace; echo ${COMPREPLY[@]}",
        ),
        ("fish", 'source udptrace.fish; complete -C "udptrace do"'),
    ],
)
def test_a_shell_completes(shell: str, code: str, scripts: Path) -> None:
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "HOME": str(scripts)}
    done = subprocess.run(
        [shell, "-c", code],
        cwd=scripts,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[0] == "doctor", done
    assert done.stderr == ""


def test_zsh_completes_each_time(scripts: Path) -> None:
    """In a terminal, as zsh completes nowhere else; the first time it loads the script."""
    assert (scripts / FILES["zsh"]).read_text().startswith("#compdef udptrace\n")
    with Terminal(["zsh", "-f", "-i"], scripts) as terminal:
        terminal.type(b"fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D\n")
        for typed, wanted in (
            (b"udptrace do\t", "doctor "),
            (b"udptrace --cause clo\t", "closed "),
        ):
            terminal.type(typed)
            terminal.wait_for(wanted)
            terminal.type(b"\x15")


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._screen, child = pty.openpty()
        environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "TERM": "dumb"}
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
        )
        os.close(child)
        os.set_blocking(self._screen, False)
        self._seen = b""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def type(self, keys: bytes) -> None:
        """Send keys."""
        os.write(self._screen, keys)

    def wait_for(self, text: str) -> None:
        """Wait until it has printed this."""
        wait_until(lambda: text in self._shown())

    def _shown(self) -> str:
        with suppress(BlockingIOError):
            self._seen += os.read(self._screen, 65536)
        return self._seen.decode(errors="replace")
