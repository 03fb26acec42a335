"""Symbol names as compilers leave them, and the function at an address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from tracer.kernel import symbols
from tracer.kernel.symbols import CallerNames, variants

KALLSYMS = """\
ffffffff81000000 T _text
ffffffff81a10000 t udp4_lib_lookup2.isra.0
ffffffff81a10400 t udp4_lib_lookup2.isra.0.cold
ffffffff81a10800 t udp4_lib_lookup2.part.0
ffffffff81a11000 t xudp4_lib_lookup2.isra.0
ffffffff81a20000 T __udp4_lib_rcv
ffffffff81a2f000 t icmpv4_xrlim_allow.constprop.0.isra.2
ffffffff81a30000 T udp_rcv
ffffffff81a31000 D udp_rcv_data
ffffffffc0a00000 t nft_reject_ipv4_eval\t[nft_reject_ipv4]
ffffffffc0b00000 t kretprobe_trampoline
"""


@pytest.fixture
def kallsyms(tmp_path: Path) -> Path:
    path = tmp_path / "kallsyms"
    path.write_text(KALLSYMS)
    return path


def test_clones_of_a_whole_function_are_found(kallsyms: Path) -> None:
    assert variants("udp4_lib_lookup2", kallsyms) == ["udp4_lib_lookup2.isra.0"]
    assert variants("icmpv4_xrlim_allow", kallsyms) == ["icmpv4_xrlim_allow.constprop.0.isra.2"]


def test_a_plain_symbol_is_not_its_own_clone(kallsyms: Path) -> None:
    assert variants("udp_rcv", kallsyms) == []


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF81A20123, "__udp4_lib_rcv"),
        (0xFFFFFFFF81A30004, "udp_rcv"),
        (0xFFFFFFFFC0A00010, "nft_reject_ipv4_eval"),
        (0xFFFFFFFF81A10010, "udp4_lib_lookup2"),
        (0xFFFFFFFFC0B00008, None),
        (0xFFFFFFFFC0C00008, None),
        (0xFFFFFFFF81A60000, None),
        (0, None),
    ],
    ids=["start", "core", "module", "clone", "trampoline", "no symbol", "too far", "null"],
)
def test_a_return_address_names_its_function_or_nothing(
    kallsyms: Path, address: int, name: str | None
) -> None:
    assert CallerNames(kallsyms)(address) == name


def test_what_is_expected_is_read_once_and_waited_for(
    kallsyms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[Path] = []
    begun, may_end, chunks = Event(), Event(), symbols._chunks

    def slowly(path: Path) -> Iterator[bytes]:
        readings.append(path)
        begun.set()
        assert may_end.wait(60)
        yield from chunks(path)

    monkeypatch.setattr(symbols, "_chunks", slowly)
    names = CallerNames(kallsyms)
    names.expect([0xFFFFFFFF81A20123, 0xFFFFFFFFC0A00010])
    assert begun.wait(60)
    may_end.set()
    assert names(0xFFFFFFFF81A20123) == "__udp4_lib_rcv"
    assert names(0xFFFFFFFFC0A00010) == "nft_reject_ipv4_eval"
    assert names(0xFFFFFFFF81A60000) is None
    assert len(readings) == 2


def test_without_room_for_a_thread_it_is_read_when_it_is_asked_for(
    kallsyms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", no_room)
    names = CallerNames(kallsyms)
    names.expect([0xFFFFFFFF81A20123])
    assert names(0xFFFFFFFF81A20123) == "__udp4_lib_rcv"


def test_hidden_addresses_name_nothing(tmp_path: Path) -> None:
    hidden = tmp_path / "kallsyms"
    hidden.write_text("\n".join("0" * 16 + line[16:] for line in KALLSYMS.splitlines()))
    assert CallerNames(hidden)(0xFFFFFFFF81A30004) is None
    assert variants("udp4_lib_lookup2", hidden) == ["udp4_lib_lookup2.isra.0"]


def test_an_unreadable_table_names_nothing(tmp_path: Path) -> None:
    assert CallerNames(tmp_path / "absent")(0xFFFFFFFF81A30004) is None
    assert variants("udp_rcv", tmp_path / "absent") == []
