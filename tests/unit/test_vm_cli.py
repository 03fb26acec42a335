"""The command line of scripts/vm, and the QEMU command line it leads to."""

from pathlib import Path

import pytest
from vm import cli, machine, processors


def test_all_behind_the_dashes_is_the_command() -> None:
    chosen = cli.parse(["--kernel", "6.1", "--", "sh", "-c", "x", "--", "--list"])
    assert chosen.kernel == "6.1"
    assert not chosen.list
    assert chosen.command == ["sh", "-c", "x", "--", "--list"]


def test_the_defaults() -> None:
    chosen = cli.parse(["--", "true"])
    assert (chosen.kernel, chosen.suite, chosen.memory) == (None, "trixie", 2048)
    assert (chosen.icount, chosen.headers, chosen.share) == (False, False, None)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--"],
        ["uname"],
        ["--kernel"],
        ["--suite", "sid", "--", "true"],
        ["--memory", "lots", "--", "true"],
        ["--memory", "16", "--", "true"],
        ["--ker", "6.1", "--", "true"],
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: scripts/vm" in capsys.readouterr().err


def test_a_missing_share_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--share", "/nonexistent", "--", "true"]) == 1
    assert (
        capsys.readouterr().err == "scripts/vm: --share /nonexistent: there is no such directory\n"
    )


def test_commas_in_paths_reach_qemu_doubled() -> None:
    guest = machine.Machine(
        kernel=Path("/k"),
        initramfs=8,
        console=9,
        processor=processors.emulated((10, 0)),
        megabytes=512,
        disks={"root": "/a,b/root.ext4"},
        share=Path("/c,d"),
    )
    command = guest.command({"ctl": 3, "out": 4, "err": 5})
    assert any(word.startswith("file=/a,,b/root.ext4,format=raw") for word in command)
    assert any(word.startswith("local,id=share,path=/c,,d,") for word in command)
    assert "socket,id=out,fd=4" in command


def test_counting_instructions_takes_one_processor() -> None:
    counting = processors.COUNTING
    assert counting[counting.index("-smp") + 1] == "1"
    assert "-icount" in counting


@pytest.mark.parametrize(
    ("version", "threads"), [((0, 0), "single"), ((7, 2), "single"), ((8, 1), "multi")]
)
def test_two_emulated_processors_share_a_thread_where_they_must(
    version: tuple[int, int], threads: str
) -> None:
    assert f"tcg,thread={threads}" in processors.emulated(version)
