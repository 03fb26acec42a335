"""Exports: pcapng that Wireshark's tools open, CSV, JSON lines; each incident once."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit import scenes
from tests.unit.build import BOX, at, count, end, gram, header, loss, miss, received
from tests.unit.linking import updates
from tests.unit.report import invoke, write
from tests.unit.test_golden import GOLDEN, compare
from tests.unit.test_report_golden import RECORDING
from tracer.containers import Container
from tracer.events import Event, IcmpFate, InContainer, NetnsContainers
from tracer.export import pcapng
from tracer.export.cells import cell
from tracer.export.csv import COLUMNS
from tracer.export.finished import Finished
from tracer.export.packets import NoPacket, datagram_packet, icmp_packet
from tracer.incident import Icmp

TO_V6 = gram("[fe80::1%2]:40000", "[2001:db8::2]:53", ifname="eth0", length=24)
PORT6 = Icmp(1, 4, "port-unreachable", "sent")
PORT4 = Icmp(3, 3, "port-unreachable", "sent")


def six() -> list[Event]:
    """A miss over IPv6."""
    missed = miss(1000, TO_V6, code=4)
    return [header(), missed, IcmpFate(missed.time + 9000, missed.time, "sent"), end(5000)]


def exported(tmp_path: Path, *events: Event) -> Path:
    """The events as a pcapng file."""
    out = tmp_path / "out.pcapng"
    source = write(tmp_path / "recording", events)
    done = invoke("export", "--to", "pcapng", "-o", str(out), source)
    assert done.exit_code == 0, done.output
    return out


def tool(*command: str) -> str:
    """What a tool of Wireshark's says; a complaint fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert complaints == []
    return done.stdout


def packets(path: Path) -> list[dict[str, Any]]:
    """What tshark sees, its checks of checksums switched on."""
    checks = ("ip.check_checksum", "udp.check_checksum")
    options = [word for check in checks for word in ("-o", f"{check}:TRUE")]
    shown = tool("tshark", "-r", str(path), "-T", "json", "--no-duplicate-keys", *options)
    return [packet["_source"]["layers"] for packet in json.loads(shown)]


# pcapng


def test_capinfos_finds_the_interfaces_of_each_netns(tmp_path: Path) -> None:
    path = exported(tmp_path, *scenes.run_b())
    text = tool("capinfos", str(path))
    assert "File timestamp precision:  nanoseconds (9)" in text
    assert "Number of packets:   4" in text
    assert "Number of interfaces in file: 2" in text
    for place in ("box/eth0", "host/docker0"):
        assert f"Name = {place}" in text
    assert "Time resolution = 0x09" in text


def test_tshark_reads_the_datagram_and_its_icmp(tmp_path: Path) -> None:
    datagram, icmp = packets(exported(tmp_path, *scenes.run_b()))[:2]
    assert datagram["frame"]["frame.time_epoch"].endswith(".128123456")
    assert datagram["ip"]["ip.src"] == "172.17.0.1"
    assert (datagram["udp"]["udp.srcport"], datagram["udp"]["udp.dstport"]) == ("56789", "45609")
    assert datagram["udp"]["udp.length"] == "12"
    assert (datagram["frame"]["frame.len"], datagram["frame"]["frame.cap_len"]) == ("32", "28")
    assert (icmp["icmp"]["icmp.type"], icmp["icmp"]["icmp.code"]) == ("3", "3")
    assert icmp["icmp"]["icmp.checksum.status"] == "1"
    assert icmp["ip"]["ip.checksum.status"] == "1"
    assert (icmp["ip"]["ip.src"], icmp["ip"]["ip.dst"]) == ("172.17.0.2", "172.17.0.1")
    assert icmp["icmp"]["udp"]["udp.dstport"] == "45609"


def test_the_verdict_is_the_comment_and_the_packet_is_said_to_be_rebuilt(tmp_path: Path) -> None:
    path = exported(tmp_path, *scenes.run_b())
    text = tool("tshark", "-r", str(path), "-T", "fields", "-e", "frame.comment")
    assert "remote-address: takes datagrams from 10.128.135.176 only" in text
    assert "socket: nc[3471] fd 3" in text
    assert "sent by: nc[3467] fd 3, netns host" in text
    assert text.count("udptrace: reconstructed from the recorded headers") == 4
    assert "told: nc[3467]: ECONNREFUSED" in text


def test_the_container_is_in_the_comment_and_in_the_row(tmp_path: Path) -> None:
    web = Container("docker", "c" * 64, "web", "nginx:1.27")
    events = scenes.run_b()
    events[3:3] = [NetnsContainers(at(0.3), BOX, 7, (web,)), InContainer(at(0.4), 3467, 0, web)]
    path = exported(tmp_path, *events)
    text = tool("tshark", "-r", str(path), "-T", "fields", "-e", "frame.comment")
    assert "container web (docker, nginx:1.27)" in text
    done = invoke("export", "--to", "csv", str(tmp_path / "recording"))
    row = next(csv.DictReader(io.StringIO(done.stdout_bytes.decode(), newline="")))
    assert (row["socket_container"], row["netns_containers"]) == ("web", "web")


def test_ipv6_has_valid_checksums(tmp_path: Path) -> None:
    datagram, icmp = packets(exported(tmp_path, *six()))
    assert datagram["ipv6"]["ipv6.src"] == "fe80::1"
    assert (icmp["icmpv6"]["icmpv6.type"], icmp["icmpv6"]["icmpv6.code"]) == ("1", "4")
    assert icmp["icmpv6"]["icmpv6.checksum.status"] == "1"
    assert icmp["ipv6"]["ipv6.src"] == "2001:db8::2"


def test_an_icmp_that_did_not_leave_is_no_packet(tmp_path: Path) -> None:
    limited = six()
    limited[2] = replace(limited[2], status="rate-limited")  # type: ignore[arg-type]
    path = exported(tmp_path, *limited)
    text = tool("tshark", "-r", str(path), "-T", "fields", "-e", "frame.comment")
    assert len(packets(path)) == 1
    assert "no ICMP left: a rate limit stopped it" in text


def test_what_another_machine_refused_went_out(tmp_path: Path) -> None:
    datagram = gram("10.0.0.1:40000", "10.0.0.2:53")
    path = exported(tmp_path, header(), received(1000, datagram, "10.0.0.254"), end(5000))
    sent, icmp = packets(path)
    assert sent["frame"]["frame.packet_flags_tree"]["frame.packet_flags_direction"].endswith("2")
    assert icmp["ip"]["ip.src"] == "10.0.0.254"
    text = tool("tshark", "-r", str(path), "-T", "fields", "-e", "frame.comment")
    assert "sent some time before" in text


def test_what_makes_no_packet_is_left_out_and_counted(tmp_path: Path) -> None:
    bad = replace(gram("10.0.0.1:40000", "10.0.1.1:53"), src="nowhere")
    source = write(tmp_path / "bad", [header(), miss(1000, bad), *six()[1:]])
    done = invoke("export", "--to", "pcapng", "-o", str(tmp_path / "out"), source)
    assert done.exit_code == 0
    assert "1 incidents left out: what is recorded of them makes no packet" in done.stderr
    assert len(packets(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("datagram", "icmp"),
    [
        (replace(TO_V6, src="999.1.1.1"), PORT6),
        (replace(TO_V6, src="10.0.0.1"), PORT6),
        (replace(TO_V6, sport=-1), PORT6),
        (replace(TO_V6, length=70_000), PORT6),
        (replace(TO_V6, length=7), PORT6),
        (TO_V6, replace(PORT6, type=256)),
        (TO_V6, replace(PORT6, sender="10.0.0.1")),
    ],
)
def test_no_packet(datagram: Any, icmp: Icmp) -> None:
    with pytest.raises(NoPacket):
        icmp_packet(datagram, icmp)


def test_checksums_are_those_of_known_packets() -> None:
    """By hand: RFC 1071 over headers whose sums are known."""
    packet = datagram_packet(gram("192.0.2.1:1", "192.0.2.2:2", length=8))
    assert packet.data.hex() == "4500001c000000004011f6cdc0000201c000020200010002" + "00080000"
    icmp = icmp_packet(gram("192.0.2.1:1", "192.0.2.2:2", length=8), PORT4)
    assert icmp.data[20:24].hex() == "0303fcf1"


V4 = gram("192.0.2.1:1", "192.0.2.2:2", length=12)
SEEN4 = "450000200001400040110000c0000201c000020200010002000c0000" + "68656c70"
SEEN6 = "6000000000091140" + "20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02"
LENIENT = gram("2001:db8::1:1", "2001:db8::2:2", length=9)


@pytest.mark.parametrize(
    ("datagram", "recorded", "length"),
    [(V4, SEEN4, 32), (V4, SEEN4[:56], 32), (LENIENT, SEEN6 + "00010002000900006a", 49)],
    ids=["all", "headers", "IPv6"],
)
def test_bytes_that_were_recorded_are_the_packet(datagram: Any, recorded: str, length: int) -> None:
    packet = datagram_packet(datagram, recorded)
    assert (packet.data.hex(), packet.length, packet.recorded) == (recorded, length, True)
    icmp = icmp_packet(datagram, PORT4 if datagram.family == "ipv4" else PORT6, recorded)
    assert icmp.data.hex().endswith(recorded)
    assert not icmp.recorded


@pytest.mark.parametrize(
    "recorded",
    ["", "45", "zz", SEEN4.replace("c0000202", "c0000203"), SEEN6, "6" + SEEN4[1:]],
    ids=["none", "cut", "no hex", "another destination", "another family", "another version"],
)
def test_recorded_lookalike_of_another_datagram(recorded: str) -> None:
    assert datagram_packet(V4, recorded) == datagram_packet(V4)


def test_an_icmp_quotes_no_more_than_its_kernel_would() -> None:
    long = SEEN4 + "00" * 1000
    assert len(icmp_packet(V4, PORT4, long).data) == 576


def test_the_comment_says_how_many_bytes_were_not_kept(tmp_path: Path) -> None:
    events = [header(), replace(miss(1000, V4), packet=SEEN4[:56]), *six()[1:]]
    done = invoke(
        "export", "--to", "pcapng", "-o", str(tmp_path / "out"), write(tmp_path / "in", events)
    )
    assert done.exit_code == 0, done.stderr
    first = packets(tmp_path / "out")[0]
    assert (first["frame"]["frame.len"], first["frame"]["frame.cap_len"]) == ("32", "28")
    assert first["ip"]["ip.id"] == "0x0001"
    text = tool("tshark", "-r", str(tmp_path / "out"), "-T", "fields", "-e", "frame.comment")
    assert "udptrace: as it was seen; 4 bytes more were not kept (--snaplen)" in text


def test_a_long_comment_is_cut_between_characters() -> None:
    packet = datagram_packet(TO_V6)
    block = pcapng.packet(0, 1, packet, ["\u20ac" * 30_000], "in")
    assert len(block) % 4 == 0
    assert int.from_bytes(block[4:8], "little") == len(block)
    assert block.count("\u20ac".encode()) == 65_535 // 3


# CSV and JSON


@pytest.mark.parametrize(
    ("to", "suffix"), [("csv", "csv"), ("json", "jsonl"), ("pcapng", "pcapng")]
)
def test_the_export_of_a_real_recording(
    to: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(RECORDING.parent)
    done = invoke("export", "--to", to, RECORDING.name)
    assert (done.exit_code, done.stderr) == (0, "")
    # Bytes as latin-1 text, so that one comparison serves them all.
    shown = done.stdout_bytes.decode("latin-1")
    expected = GOLDEN / f"export/netcat.{suffix}"
    if to == "pcapng":
        shown = done.stdout_bytes.hex("\n", -32) + "\n"
        expected = expected.with_suffix(".hex")
    compare(expected, shown.replace("\r\n", "\n"))


def test_csv_has_a_header_and_a_row_an_incident(tmp_path: Path) -> None:
    done = invoke("export", "--to", "csv", write(tmp_path / "b", scenes.run_b()))
    head, *rows = csv.reader(io.StringIO(done.stdout_bytes.decode(), newline=""))
    assert head == list(COLUMNS)
    assert len(rows) == 2
    first = dict(zip(head, rows[0], strict=True))
    assert (first["cause"], first["socket_process"], first["socket_pid"]) == (
        "remote-address",
        "nc",
        "3471",
    )
    assert done.stdout_bytes.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\uff1dx", "'\uff1dx"),
        ("\tx", "\\x09x"),
        ("nc", "nc"),
        (7, "7"),
        (None, ""),
    ],
)
def test_no_cell_is_a_formula(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_each_incident_comes_once_as_it_stood_at_last(tmp_path: Path) -> None:
    datagram = gram("10.0.0.1:40000", "10.0.1.1:53")
    again = [count(ms, datagram, 5 + ms // 1000, since=1000) for ms in (2000, 4000, 60_000)]
    source = write(tmp_path / "again", [header(), miss(1000, datagram), *again, end(90_000)])
    lines = invoke("export", "--to", "json", source).output.splitlines()
    (incident,) = map(json.loads, lines)
    assert (incident["kind"], incident["count"], incident["schema"]) == ("incident", 65, 1)


def test_incidents_beyond_the_limit_are_handed_on_early() -> None:
    found = updates(scenes.run_b())
    finished = Finished(limit=1)
    assert finished.take(found[0]) == []
    assert finished.take(found[1]) == [found[0].incident]
    assert finished.take(replace(found[0], previous=found[0].incident)) == []
    assert finished.late == 1
    assert list(finished.rest()) == [found[1].incident]


# Where it goes


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    assert exported(tmp_path, *six()).stat().st_mode & 0o777 == 0o600


def test_it_does_not_overwrite_the_recording(tmp_path: Path) -> None:
    source = write(tmp_path / "b", scenes.run_b())
    before = Path(source).read_bytes()
    done = invoke("export", "--to", "csv", "-o", source, source)
    assert "this is the recording itself" in str(done.exception)
    assert Path(source).read_bytes() == before


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    source = write(tmp_path / "b", scenes.run_b())
    done = invoke("report", "-o", str(tmp_path / "no/such"), source)
    assert str(done.exception).endswith("cannot be written: No such file or directory")


def test_problems_of_the_recording_are_told(tmp_path: Path) -> None:
    source = write(tmp_path / "cut", [header(), loss(1), miss(1000, TO_V6)])
    done = invoke("export", "--to", "json", source)
    assert "there is no end record" in done.stderr
    assert done.stdout.startswith('{"kind": "incident"')
