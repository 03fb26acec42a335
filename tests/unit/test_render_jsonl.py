"""The JSON stream: kinds of line, keys in their documented order, types, bytes."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.unit.build import (
    BOX,
    HOST,
    NO_CONTAINER,
    at,
    bind,
    counters,
    end,
    error,
    gram,
    header,
    loss,
    miss,
    namespace,
    seen,
    sock,
    task,
)
from tests.unit.linking import only
from tests.unit.scenes import run_a, run_b
from tracer.events import End, Event
from tracer.link import Linker
from tracer.render.jsonl import JsonRenderer

DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")

INCIDENT_KEYS = (
    "kind schema id seq host boot_id time mono_ns last_time count datagram nat netns icmp lookup "
    "cause mismatch socket candidates origin told not_told untold hints advice certain caveats"
)
SOCKET_KEYS = (
    "netns family state local peer device v6only port_origin inode cookie uid closed processes "
    "connect port_set_by"
)
SET_BY_KEYS = "call time by requested from to source seen why kept_by connects"


def stream(*events: Event) -> str:
    """What a whole trace prints."""
    linker, renderer, printed = Linker(), JsonRenderer(), ""
    for event in events:
        for update in linker.feed(event):
            printed += renderer.update(update)
        printed += renderer.event(event)
        if isinstance(event, End):
            printed += renderer.end(event, linker.stats)
    return printed


def test_one_object_a_line_of_a_known_kind() -> None:
    lines = stream(*run_b()[:-1], loss(49_000), run_b()[-1]).splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds == ["header", "incident", "incident", "loss", "end"]
    assert all(json.loads(line)["schema"] == 1 for line in lines)


def test_the_keys_of_an_incident_in_order() -> None:
    incident = json.loads(stream(*run_b()).splitlines()[1])
    assert " ".join(incident) == INCIDENT_KEYS
    assert " ".join(incident["socket"]) == SOCKET_KEYS
    assert " ".join(incident["origin"]) == SOCKET_KEYS
    assert " ".join(incident["told"][0]) == "socket error time"
    assert " ".join(incident["netns"]) == "inum cookie name container containers pod"
    assert " ".join(incident["icmp"]) == "type code name status from"
    assert " ".join(incident["lookup"]) == "passes visited matching truncated caller"
    assert " ".join(incident["mismatch"][0]) == "field socket datagram set_by"
    assert " ".join(incident["mismatch"][0]["set_by"]) == SET_BY_KEYS + " holds"
    assert " ".join(incident["socket"]["port_set_by"]) == SET_BY_KEYS
    assert " ".join(incident["socket"]["connect"]) == (
        "time by requested before after source error"
    )
    assert " ".join(incident["socket"]["processes"][0]) == "pid comm fd start_time container"
    assert " ".join(incident["datagram"]) == ("family src sport dst dport ifindex ifname length")


def test_values_that_are_not_known_are_null() -> None:
    view = sock("10.0.0.1:53", "10.0.0.8:4000", inode=0)
    incident = only(miss(1000, replace(DATAGRAM, ifname=""), view)).to_json()
    socket = incident["socket"]
    assert isinstance(socket, dict)
    for key in ("device", "v6only", "port_origin", "inode", "cookie", "closed", "connect"):
        assert socket[key] is None, key
    assert socket["processes"] == []
    assert incident["origin"] is None
    assert incident["nat"] is None
    datagram = incident["datagram"]
    assert isinstance(datagram, dict)
    assert datagram["ifname"] is None


def test_64_bit_identifiers_are_text() -> None:
    view = replace(sock("127.0.0.1:53", inode=3), cookie=2**63, netns_cookie=2**60)
    socket = only(miss(1000, DATAGRAM, view)).to_json()["socket"]
    assert isinstance(socket, dict)
    assert socket["cookie"] == str(2**63)
    assert socket["netns"]["cookie"] == str(2**60)
    assert socket["inode"] == 3


def test_ends_are_printed_as_documented() -> None:
    six = sock("[::]:53", inode=4)
    tied = sock("[2001:db8::1]:53", "[2001:db8::2]:4000", inode=5)
    datagram = gram("[2001:db8::9]:4000", "[2001:db8::1]:53")
    first = only(miss(1000, datagram, tied, code=4)).to_json()["socket"]
    assert isinstance(first, dict)
    assert (first["local"], first["peer"]) == ("[2001:db8::1]:53", "[2001:db8::2]:4000")
    second = only(miss(1000, DATAGRAM, six)).to_json()["socket"]
    assert isinstance(second, dict)
    assert (second["local"], second["peer"], second["state"]) == ("[::]:53", None, "UNCONN")


def test_the_socket_that_is_a_socket_of_its_time() -> None:
    """The origin was told, and is described as it was then, in its own namespace."""
    sender = sock("10.0.0.9:4000", "10.0.0.1:53", inode=11, netns=BOX)
    incident = only(seen(1, sender), miss(1000, DATAGRAM), error(1000.1, sender)).to_json()
    origin = incident["origin"]
    assert isinstance(origin, dict)
    assert origin["netns"]["inum"] == BOX
    netns = incident["netns"]
    assert isinstance(netns, dict)
    assert netns["inum"] == HOST


def test_times_are_utc_with_nanoseconds() -> None:
    incident = only(miss(44128.123456, DATAGRAM)).to_json()
    assert incident["time"] == "2026-11-22T12:03:44.128123456Z"
    assert incident["mono_ns"] == at(44128.123456)


def test_the_end_has_the_totals() -> None:
    last = json.loads(stream(*run_b()[:-1], loss(49_000), run_b()[-1]).splitlines()[-1])
    assert last == {
        "kind": "end",
        "schema": 1,
        "time": "2026-11-22T12:03:50.000000000Z",
        "mono_ns": at(50_000),
        "reason": "interrupted",
        "misses": 2,
        "untold": 0,
        "incidents": 2,
        "sockets": 0,
        "losses": {"close": 3},
        "forgotten": {},
    }


def test_the_counters_come_before_the_end() -> None:
    lines = stream(
        header(),
        namespace(1, BOX, "web"),
        counters(2, BOX, UdpNoPorts=5, UdpInErrors=5, UdpRcvbufErrors=5, IcmpOutDestUnreachs=4),
        counters(3, HOST, UdpNoPorts=5),
        miss(1000, DATAGRAM, netns=BOX),
        counters(
            2000, BOX, UdpNoPorts=7, UdpInErrors=8, UdpRcvbufErrors=8, IcmpOutDestUnreachs=5,
            final=True,
        ),
        counters(2001, HOST, UdpNoPorts=5, final=True),
        end(3000),
    ).splitlines()  # fmt: skip
    *_, line, last = map(json.loads, lines)
    assert last["kind"] == "end"
    assert line == {
        "kind": "counters",
        "schema": 1,
        "time": "2026-11-22T12:03:02.000000000Z",
        "mono_ns": at(2000),
        "netns": {"inum": BOX, "cookie": "7", "name": "web", **NO_CONTAINER},
        "since": "2026-11-22T12:03:00.002000000Z",
        "final": True,
        "gone": False,
        "silent": {
            "receive-buffer": 3,
            "checksum": None,
            "memory": None,
            "multicast": None,
            "other": 0,
        },
        "no_ports": {"kernel": 2, "traced": 1, "unseen": 1},
        "icmp": {"unreachables_sent": 1, "rate_limited": None},
    }


def test_the_same_events_give_the_same_bytes() -> None:
    assert stream(*run_a()) == stream(*run_a())


def test_hostile_names_are_one_line_of_ascii() -> None:
    comm = "a\n\x1b\u2028\ud800x\udcff\u202e"
    wrong = sock("127.0.0.1:53", inode=3)
    printed = stream(header(), bind(1, wrong, by=task(1, comm)), miss(2, DATAGRAM, wrong), end(900))
    assert printed.isascii()
    assert len(printed.splitlines()) == 3
    incident = json.loads(printed.splitlines()[1])
    assert incident["socket"]["processes"][0]["comm"] == comm
