"""The answer to what would become of a datagram: by a snapshot, in an incident's words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.unit.build import (
    BOX,
    HOST,
    REALTIME,
    START,
    gram,
    namespace,
    owners,
    seen,
    sock,
)
from tracer.answer import NOT_EXAMINED, SILENT, Answer
from tracer.causes import Cause
from tracer.check import NEAREST, check
from tracer.containers import Container
from tracer.events import Clock, Event, NetnsContainers, SocketSeen, SocketView
from tracer.render.check import check_text
from tracer.render.json_line import json_line
from tracer.system.arrival import NO_ROUTES, Arrival

DOCS = Path(__file__).resolve().parents[2] / "docs"

CLOCK = Clock(START, REALTIME, START)
BOX_INFO = namespace(0, BOX, "box", "10.0.0.1", "127.0.0.1")
HOST_INFO = namespace(0, HOST, "host", "10.0.0.9", "127.0.0.1")
DATAGRAM = gram("10.0.0.9:4000", "10.0.0.1:53")
ARRIVAL = Arrival(DATAGRAM, "by eth0, the way to 10.0.0.9")

TAKES = sock("10.0.0.1:53", inode=1, netns=BOX)
LOOPBACK = sock("127.0.0.1:53", inode=2, netns=BOX)
OTHERS = sock("10.0.0.1:53", "10.0.0.8:4000", inode=3, netns=BOX)


def ask(*sockets: SocketView, arrival: Arrival = ARRIVAL, more: tuple[Event, ...] = ()) -> Answer:
    events = [BOX_INFO, HOST_INFO, *(seen(0, view) for view in sockets), *more]
    return check(events, CLOCK, BOX_INFO, arrival)


def test_a_socket_takes_it() -> None:
    answer = ask(TAKES, LOOPBACK, more=(owners(0, TAKES.inode, (77, "named", 3)),))
    assert (answer.verdict, answer.cause, answer.candidates) == ("delivered", None, 1)
    assert answer.socket is not None
    assert (answer.socket.inode, answer.group, answer.certain) == (1, (), True)
    assert [process.comm for process in answer.socket.processes] == ["named"]
    assert answer.notes == (NOT_EXAMINED,)


def test_the_cause_and_the_words_are_an_incidents() -> None:
    answer = ask(LOOPBACK)
    assert (answer.verdict, answer.cause) == ("missed", Cause.LOCAL_ADDRESS)
    assert answer.why == "bound to 127.0.0.1; this was for 10.0.0.1"
    assert "it takes local traffic only: bind 10.0.0.1 or 0.0.0.0" in answer.advice[0]
    (check,) = answer.mismatch
    assert (check.socket, check.datagram) == ("127.0.0.1", "10.0.0.1")


def test_the_nearest_is_named_and_some_of_the_others() -> None:
    crowd = [sock("127.0.0.1:53", inode=10 + n, netns=BOX) for n in range(2 * NEAREST)]
    answer = ask(*crowd, OTHERS)
    assert (answer.cause, answer.candidates) == (Cause.REMOTE_ADDRESS, 2 * NEAREST)
    assert [refusal.socket.inode for refusal in answer.nearest] == [10, 11, 12]
    assert answer.nearest[0].why == "bound to 127.0.0.1; this was for 10.0.0.1"


def test_another_namespaces_socket_is_a_hint() -> None:
    there = sock("10.0.0.1:53", inode=4, netns=HOST)
    answer = ask(there)
    assert (answer.cause, answer.socket, answer.candidates) == (Cause.NO_SOCKET, None, 0)
    assert answer.why == "nothing holds UDP port 53 in netns box"
    assert "in netns host would have taken it" in answer.hints[0]


def test_the_sender_is_named_where_it_is_here() -> None:
    sender = sock("10.0.0.9:4000", "10.0.0.1:53", inode=5, netns=HOST)
    answer = ask(OTHERS, sender, more=(owners(0, sender.inode, (78, "dig", 3)),))
    assert answer.origin is not None
    assert answer.origin.inode == 5
    assert "have dig[78] send from there" in " ".join(answer.advice)
    assert "  sender      dig[78] fd 3  10.0.0.9:4000 -> 10.0.0.1:53 ESTAB" in check_text(answer)


def test_several_alike_are_all_told_of() -> None:
    group = [sock("0.0.0.0:53", inode=20 + n, netns=BOX) for n in range(4)]
    answer = ask(*group, LOOPBACK)
    assert [socket.inode for socket in answer.group] == [20, 21, 22, 23]
    assert answer.why.startswith("one of 4 sockets that share 0.0.0.0:53: a SO_REUSEPORT group")
    text = check_text(answer)
    assert text.count("0.0.0.0:53 UNCONN") == 4
    assert "1 more on that port" in text


def test_a_broadcast_is_copied_to_each() -> None:
    to_all = Arrival(gram("10.0.0.9:4000", "10.0.0.255:53"), "by eth0", broadcast=True)
    answer = ask(sock("0.0.0.0:53", inode=1, netns=BOX), TAKES, arrival=to_all)
    assert (answer.verdict, answer.why) == ("delivered", "the one socket that gets a copy")
    missed = ask(TAKES, arrival=to_all)
    assert (missed.cause, missed.notes) == (Cause.LOCAL_ADDRESS, (NOT_EXAMINED, SILENT))


def test_what_is_not_looked_up_has_no_verdict() -> None:
    answer = ask(TAKES, arrival=Arrival(DATAGRAM, "", unreached="10.0.0.1 is no address"))
    assert (answer.verdict, answer.cause, answer.socket) == (None, None, None)
    assert answer.why == "10.0.0.1 is no address"
    assert check_text(answer).startswith("not looked up  10.0.0.9:4000 > 10.0.0.1:53")


def test_what_could_not_be_read_is_a_doubt() -> None:
    answer = check(
        [BOX_INFO, SocketSeen(0, TAKES, "proc")],
        CLOCK,
        BOX_INFO,
        Arrival(DATAGRAM, "by eth0", doubts=(NO_ROUTES,)),
    )
    assert (answer.verdict, answer.certain, len(answer.caveats)) == ("delivered", False, 2)
    assert "no devices and no v6only flags" in answer.caveats[1]
    assert check_text(answer).startswith("delivered?")


def test_the_text() -> None:
    web = Container("docker", "a" * 64, "web", "nginx")
    inside = NetnsContainers(0, BOX, BOX_INFO.cookie, (web,))
    answer = ask(OTHERS, LOOPBACK, more=(owners(0, OTHERS.inode, (77, "named", 3)), inside))
    assert (
        check_text(answer)
        == """\
missed  remote-address  10.0.0.9:4000 > 10.0.0.1:53
    container web (docker, nginx), by eth0, the way to 10.0.0.9
  refused by  named[77] fd 3  10.0.0.1:53 -> 10.0.0.8:4000 ESTAB
              takes datagrams from 10.0.0.8 only; this came from 10.0.0.9
  nor by      process unknown  127.0.0.1:53 UNCONN
              bound to 127.0.0.1; this was for 10.0.0.1
  note        not examined: firewall and NAT rules, conntrack, XDP, TC, BPF
              sk_lookup, and the socket's own filter and buffer
  do          connected, it takes datagrams from 10.0.0.8:4000 alone: have the
              sender send from there; a server is to be left unconnected
              (recvfrom(), sendto()), or gives each peer a socket
"""
    )


def test_hostile_names_do_no_harm() -> None:
    evil = "\x1b[2J\n\u202e"
    answer = ask(TAKES, more=(owners(0, TAKES.inode, (77, evil, 3)),))
    for text in (check_text(answer), json_line(answer.to_json())):
        assert text.isascii()
        assert text.replace("\n", "").isprintable()
    assert len(json_line(answer.to_json()).splitlines()) == 1


def test_every_field_is_documented() -> None:
    documented = (DOCS / "check.md").read_text()
    answer: Any = json.loads(json_line(ask(OTHERS, LOOPBACK).to_json()))
    rows = re.findall(r"^\| (`[^|]+`) \|", documented, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert names == [name for name in answer if name not in ("kind", "schema")]
    assert answer["kind"] == "check"
    assert answer["datagram"]["length"] is None
