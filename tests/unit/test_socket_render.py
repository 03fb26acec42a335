"""The listing as it is printed: the seed's client word for word, the table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from tests.unit.build import BOX, sock
from tests.unit.listed import MEMORY, group, listed
from tests.unit.test_golden import GOLDEN, compare
from tracer.containers import Container
from tracer.events import Holder
from tracer.parts import Netns, Process
from tracer.render.socket_columns import COLUMNS, DEFAULT, EXPOSED, in_order
from tracer.render.sockets import TABULATED, csv_rows, exposure, jsonl, meanings, table
from tracer.sockets.model import Listed

CLIENT = listed(sock("0.0.0.0:58395"), Holder(2092, "client", 3), port_lock=False)
SERVER = listed(sock("10.0.0.5:53"), Holder(1, "named", 4), addr_lock=True)
LOCAL = listed(sock("127.0.0.1:54"))
PEER = listed(sock("10.0.0.5:55", "10.0.0.1:9"))
MEMBER = listed(
    sock("224.0.0.251:5353"), groups=(group("224.0.0.251"), group("239.1.1.1", 2, True))
)
UNKNOWN = listed(sock("[::]:56"), told=False)
EVIL = listed(sock("0.0.0.0:57"), Holder(9, "=cmd\x1b[2J\n|", 5))
ALL = [CLIENT, SERVER, LOCAL, PEER, MEMBER, UNKNOWN, EVIL]


def text(listed: Listed, column: str) -> str:
    return COLUMNS[column].text(listed)


def test_the_seeds_client() -> None:
    printed = [*table([CLIENT], DEFAULT), *meanings([CLIENT], DEFAULT)]
    compare(GOLDEN / "sockets-client.txt", "".join(printed))


def test_what_is_exposed() -> None:
    exposed = in_order([CLIENT, SERVER, MEMBER], "port-origin")
    every = [*exposed, LOCAL, PEER]
    printed = "".join([*table(exposed, EXPOSED), *exposure(exposed, every)])
    compare(GOLDEN / "sockets-exposed.txt", printed)


@pytest.mark.parametrize(
    ("one", "column", "expected"),
    [
        (MEMBER, "groups", "224.0.0.251 on eth0, 239.1.1.1 on eth0 (named sources only)"),
        (UNKNOWN, "groups", "?"),
        (CLIENT, "groups", "-"),
        (UNKNOWN, "port-origin", "?"),
        (UNKNOWN, "processes", "?"),
        (listed(sock("0.0.0.0:4789"), kernel=True), "processes", "the kernel"),
        (UNKNOWN, "reuseport", "?"),
        (CLIENT, "reuseport", "-"),
        (listed(sock("0.0.0.0:1"), reuseport=True), "reuseport", "alone"),
        (
            listed(sock("0.0.0.0:1"), reuseport=True, reuseport_group=7),
            "reuseport",
            "group 1, 1 socket",
        ),
        (UNKNOWN, "addresses", "all: 127.0.0.1, 10.0.0.5, ::1 and 1 more"),
        (listed(sock("[::]:1", v6only=True)), "addresses", "all: ::1, fe80::5"),
        (CLIENT, "addresses", "all: 127.0.0.1, 10.0.0.5"),
        (SERVER, "addresses", "10.0.0.5"),
        (CLIENT, "v6only", "-"),
        (UNKNOWN, "v6only", "?"),
        (CLIENT, "skmem", "r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d0"),
        (CLIENT, "inode", "100"),
        (CLIENT, "cookie", "?"),
        (EVIL, "processes", '"=cmd\\x1b[2J\\x0a|"[9] fd 5'),
    ],
)
def test_cells(one: Listed, column: str, expected: str) -> None:
    assert text(one, column) == expected


def test_containers_are_those_of_the_holders_else_of_the_namespace() -> None:
    web, proxy = (Container("docker", name * 13, name, None) for name in ("web", "proxy"))
    netns = Netns(BOX, 7, None, (web,))
    inside = replace(CLIENT, place=replace(CLIENT.place, netns=netns))
    assert (text(CLIENT, "container"), text(inside, "container")) == ("-", "web")
    assert text(inside, "netns") == "container web (docker)"
    holder = Process(2092, "client", 3, None, proxy)
    handed = replace(inside, processes=(holder,))
    assert text(handed, "container") == "proxy"


def test_many_rows_are_laid_out_like_a_few() -> None:
    few = list(table([CLIENT, PEER], DEFAULT))
    many = "".join(table([CLIENT, PEER] * TABULATED, DEFAULT)).splitlines()
    assert "".join(few).splitlines() == many[:3]
    assert len(many) == 2 * TABULATED + 1


def test_the_words_of_columns_that_are_not_shown_are_not_explained() -> None:
    assert not [line for line in meanings([CLIENT], ("state", "local")) if "chosen" in line]


def test_sorting() -> None:
    assert in_order([LOCAL, SERVER, PEER], None) == [SERVER, LOCAL, PEER]
    assert in_order([PEER, CLIENT], "state") == [PEER, CLIENT]
    small = replace(LOCAL, detail=replace(LOCAL.detail, memory=replace(MEMORY, rcvbuf=9000)))
    unknown = replace(LOCAL, detail=replace(LOCAL.detail, memory=None))
    assert in_order([SERVER, small, unknown], "rcvbuf") == [unknown, small, SERVER]
    by_drops = in_order([SERVER, _dropping(3), _dropping(20)], "drops")
    assert [one.detail.drops for one in by_drops] == [20, 3, 0]


def _dropping(drops: int) -> Listed:
    return replace(LOCAL, detail=replace(LOCAL.detail, drops=drops))


def test_json_has_the_contracts_socket_and_null_for_what_is_not_known() -> None:
    client, unknown = map(json.loads, jsonl([CLIENT, UNKNOWN]))
    assert client["kind"] == "socket"
    assert client.keys() >= CLIENT.socket.to_json().keys()
    assert (client["port_origin"], client["state"], client["local"]) == (
        "kernel-chosen",
        "UNCONN",
        "0.0.0.0:58395",
    )
    assert (client["accepts_from"], client["exposed"]) == ("anyone", True)
    assert "not listening" in client["means"]
    nulls = ("port_origin", "groups", "reuseport", "reuseport_group", "kernel", "address_bound")
    assert {name: unknown[name] for name in nulls} == dict.fromkeys(nulls)


def test_csv_is_safe_and_has_every_column() -> None:
    printed = "".join(csv_rows(ALL, tuple(COLUMNS)))
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(ALL)
    unknown = rows[ALL.index(UNKNOWN)]
    assert (unknown["port-origin"], unknown["groups"], unknown["peer"]) == ("", "", "none")
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
        assert all(cell.isprintable() for cell in row.values())
