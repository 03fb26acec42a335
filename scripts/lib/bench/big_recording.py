"""Makes a large recording: a day of a busy resolver's host, in as many events as asked for.

usage: python3 -m bench.big_recording FILE [EVENTS]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO

from tracer.events import (
    Call,
    Close,
    Datagram,
    End,
    Event,
    Header,
    IcmpFate,
    Miss,
    MissCount,
    NetnsInfo,
    Owners,
    SockError,
    SocketView,
    Task,
    Walk,
)
from tracer.recording.codec import encode

EVENTS = 1_000_000

MS = 1_000_000
NETNS, COOKIE = 4026531840, 1
SERVERS = 64
"""Resolvers that have gone, each on an address of its own."""

SOCKET = SocketView(
    sock="", inode=0, cookie=0, netns=NETNS, netns_cookie=COOKIE, family="ipv4", state=7,
    local="0.0.0.0", lport=0, peer="0.0.0.0", pport=0, addr_lock=False, port_lock=False, uid=0,
)  # fmt: skip


def header() -> Header:
    """The first event."""
    return Header(
        time=MS, format=1, tool="udptrace", version="0.1.0", host="big", boot_id="b" * 8,
        kernel="6.12.0", machine="x86_64", argv=("udptrace",), targets=(), target_names=(),
        probes=("__icmp_send", "icmp_push_reply", "sk_error_report"), missing=(),
        realtime_ns=1_795_000_000_000 * MS, boottime_ns=MS,
    )  # fmt: skip


def query(number: int) -> Iterator[Event]:
    """A client asks a server with a socket of its own; one in twenty finds nobody and is told."""
    at = (10 + number * 20) * MS
    port, pid, server = 32768 + number % 28000, 1000 + number % 3000, number % SERVERS
    task = Task(pid, pid, f"client-{pid % 40}", 0, MS)
    unbound = replace(SOCKET, sock=f"{number:016x}", inode=10_000 + number)
    bound = replace(unbound, local="10.0.0.1", lport=port)
    peer = f"10.0.1.{server}"
    tied = replace(bound, state=1, peer=peer, pport=53, cookie=number + 1)
    yield Call(at, "autobind", at - 900, task, None, unbound, bound, 0)
    yield Call(at + MS, "connect", at + MS - 900, task, (peer, 53), bound, tied, 0)
    if number % 3 == 0:
        yield Owners(at + 2 * MS, tied.inode, ())
    if number % 20 == 0:
        gram = Datagram("ipv4", "10.0.0.1", port, peer, 53, 1, 0, "lo", 40)
        key = (gram, NETNS, COOKIE)
        walk = Walk(3, 0, 0, False, (), 3)
        missed = at + 3 * MS
        yield Miss(missed, *key, 3, 3, True, 2, "__udp4_lib_rcv", missed, 1, walk)
        yield IcmpFate(missed + 9000, missed, "sent")
        yield SockError(missed + 20_000, tied, 111)
        yield MissCount(at + 8 * MS, *key, 3, 3, missed, at + 7 * MS, 4, 4, 0)
    yield Close(at + 9 * MS, task, tied)


def events(number: int) -> Iterator[Event]:
    """So many events."""
    yield header()
    addresses = ("127.0.0.1", "10.0.0.1", *(f"10.0.1.{n}" for n in range(SERVERS)))
    yield NetnsInfo(2 * MS, NETNS, COOKIE, "host", addresses, ((1, "lo"), (2, "eth0")))
    busy = (event for n in count() for event in query(n))
    last = MS
    for event in islice(busy, number - 3):
        last = event.time
        yield event
    yield End(last + 1000 * MS, "interrupted")


def write(file: BinaryIO, number: int) -> None:
    """The recording, to a file open for writing."""
    file.writelines(map(encode, events(number)))


if __name__ == "__main__":
    with Path(sys.argv[1]).open("wb") as out:
        write(out, int(sys.argv[2]) if len(sys.argv) > 2 else EVENTS)
