"""One event of every kind, with every optional field both set and unset, for the tests."""

from __future__ import annotations

import typing
from dataclasses import replace

from tracer.events import (
    Call,
    Clock,
    Close,
    Counters,
    Datagram,
    End,
    Event,
    Header,
    Holder,
    IcmpFate,
    IcmpReceived,
    Loss,
    Miss,
    MissCount,
    NetnsInfo,
    Owners,
    ReceivedIcmp,
    SockError,
    SocketSeen,
    SocketView,
    Task,
    Tick,
    Walk,
)

BIG_COOKIE = (1 << 64) - 1
"""An identifier that a reader keeping 53 bits of a number would damage."""

HEADER = Header(
    time=1_000,
    format=1,
    tool="udptrace",
    version="0.1.0",
    host="box",
    boot_id="e493234d-2255-4264-8810-fffa67e1ed36",
    kernel="6.12.107",
    machine="x86_64",
    argv=("udptrace", "-w", "caf\u00e9.jsonl"),
    targets=(),
    target_names=(),
    probes=("__ip4_datagram_connect", "udp4_lib_lookup2", "__icmp_send"),
    missing=(("inet_autobind", "no such symbol"),),
    realtime_ns=1_795_000_000_000_000_000,
    boottime_ns=2_000,
)

SOCKET = SocketView(
    sock="ffff888003a41b00",
    inode=24_117,
    cookie=BIG_COOKIE,
    netns=4026532179,
    netns_cookie=7,
    family="ipv4",
    state=1,
    local="172.17.0.2",
    lport=45609,
    peer="10.128.135.176",
    pport=56789,
    addr_lock=False,
    port_lock=True,
    uid=0,
)

SOCKET6 = replace(
    SOCKET,
    sock="",
    inode=24_118,
    family="ipv6",
    local="::",
    peer="::",
    pport=0,
    state=7,
    local4="0.0.0.0",
    peer4="0.0.0.0",
    v6only=False,
    device=3,
)

TASK = Task(pid=3471, tid=3472, comm="nc \U0001f600", uid=0, start_ns=99)

DATAGRAM = Datagram(
    family="ipv4",
    src="172.17.0.1",
    sport=56789,
    dst="172.17.0.2",
    dport=45609,
    ifindex=2,
    sdif=0,
    ifname="eth0",
    length=12,
)

MISS = Miss(
    time=3_000,
    datagram=DATAGRAM,
    netns=4026532179,
    netns_cookie=7,
    icmp_type=3,
    icmp_code=3,
    proven=True,
    passes=2,
    caller="udp_rcv",
    since=3_000,
    total=1,
    walk=Walk(visited=2, matching=1, lost=0, truncated=False, candidates=(SOCKET, SOCKET6)),
)

EVENTS: tuple[Event, ...] = (
    HEADER,
    Clock(time=1_100, realtime_ns=1_795_000_000_000_000_100, boottime_ns=2_100),
    NetnsInfo(
        time=1_150,
        inum=4026531840,
        cookie=1,
        name="host",
        addresses=("127.0.0.1", "10.128.135.176", "::1"),
        links=((1, "lo"), (2, "eth0")),
    ),
    NetnsInfo(time=1_160, inum=4026532179, cookie=0, name=None, addresses=(), links=()),
    SocketSeen(time=1_200, socket=SOCKET6, source="udp_diag"),
    SocketSeen(time=1_210, socket=SOCKET, source="proc"),
    Owners(time=1_300, inode=24_118, holders=(Holder(pid=12, comm="dns", fd=3, start_ns=5),)),
    Owners(time=1_310, inode=24_119, holders=()),
    Call(
        time=2_000,
        op="connect",
        entered=1_990,
        task=TASK,
        requested=("10.128.135.176", 56789),
        before=replace(SOCKET, local="0.0.0.0", peer="0.0.0.0", pport=0, state=7),
        after=SOCKET,
        error=0,
    ),
    Call(
        time=2_100,
        op="autobind",
        entered=2_090,
        task=TASK,
        requested=None,
        before=SOCKET,
        after=SOCKET,
        error=0,
    ),
    MISS,
    replace(MISS, time=3_100, proven=False, passes=None, caller=None, walk=None),
    IcmpFate(time=3_150, miss=3_100, status="rate-limited"),
    SockError(time=3_200, socket=SOCKET, errno=111),
    SockError(3_210, SOCKET, 111, ReceivedIcmp("10.0.0.1", 3, 3)),
    IcmpReceived(
        time=3_220,
        datagram=DATAGRAM,
        netns=4026532179,
        netns_cookie=7,
        icmp=ReceivedIcmp("10.0.0.1", 3, 3),
        since=3_220,
        total=1,
    ),
    MissCount(
        time=4_000,
        datagram=DATAGRAM,
        netns=4026532179,
        netns_cookie=7,
        icmp_type=3,
        icmp_code=3,
        since=3_000,
        last=3_900,
        total=17,
    ),
    MissCount(
        time=4_001,
        datagram=DATAGRAM,
        netns=4026532179,
        netns_cookie=7,
        icmp_type=3,
        icmp_code=3,
        since=3_000,
        last=3_900,
        total=18,
        sent=6,
        limited=11,
        proven=True,
    ),
    Close(time=4_100, task=TASK, socket=SOCKET),
    Counters(
        time=4_110,
        until=4_150,
        inum=4026532179,
        cookie=BIG_COOKIE,
        values=(("UdpNoPorts", 17), ("Udp6NoPorts", 0)),
    ),
    Counters(time=4_160, until=4_160, inum=4026532180, cookie=0, values=(), final=True),
    Loss(time=4_200, what="call", count=3),
    Tick(time=5_000),
    End(time=6_000, reason="interrupted"),
)

assert {type(event) for event in EVENTS} == set(typing.get_args(Event))
